//! Thousands of deliveries while their sender is killed twenty times. How fast they go is what `--bench webhooks`
//! shows.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use recovery::queue::Callback;
use standardwebhooks::Webhook;

use super::office::{Office, SECRET};
use super::receiver::Receiver;
use crate::crash::scene::wait_for;

// A debug build gets fewer deliveries: each of its starts reads all of them.
const DELIVERIES: usize = if cfg!(debug_assertions) { 4_000 } else { 10_000 };
const KILLS: usize = 20;
const PLACES: usize = 16;

#[test]
fn every_delivery_arrives_whatever_is_killed() {
    let receiver = Receiver::kind();
    let office = Office::new(&format!("concurrency = {PLACES}\nper_endpoint = {PLACES}"));
    let url = receiver.url("/end");
    office.ended((0..DELIVERIES).map(|n| format!("job-{n}")), &|_| Callback::to(&*url));
    let begun = Instant::now();
    let (mut killed, mut kills) = (0, 0);
    let mut in_flight: HashSet<String> = HashSet::new();
    while kills < KILLS {
        let daemon = office.scene.start_daemon(1);
        // Each kill comes a little later, at an arbitrary moment.
        let share = DELIVERIES * (kills + 1) / (KILLS + 2);
        wait_for("deliveries before the next kill", || receiver.count() >= share);
        daemon.kill();
        killed = receiver.count();
        kills += 1;
        let pending = office.json(&["webhooks", "pending", "--status", "in_flight"]);
        let found = pending["deliveries"].as_array().unwrap();
        assert!(found.len() <= PLACES, "{}", found.len());
        in_flight.extend(found.iter().map(|d| d["delivery_id"].as_str().unwrap().to_owned()));
    }
    assert!(killed < DELIVERIES, "the last kill came too late to mean anything");
    let daemon = office.scene.daemon(1);
    wait_for("the rest", || office.json(&["webhooks", "pending", "--limit", "1"])["total"] == 0);
    let took = begun.elapsed();
    daemon.kill();

    let judge = Webhook::new(SECRET).unwrap();
    let by_id = receiver.by_id();
    assert_eq!(by_id.len(), DELIVERIES, "each arrives");
    let mut jobs: HashMap<String, usize> = HashMap::new();
    for requests in by_id.values() {
        for request in requests {
            judge.verify(&request.body, &request.headers).unwrap();
            assert_eq!(request.body, requests[0].body, "byte for byte the same");
        }
        let body: serde_json::Value = serde_json::from_slice(&requests[0].body).unwrap();
        *jobs.entry(body["data"]["job_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(jobs.len(), DELIVERIES, "one id a job");
    let doubled = by_id.iter().filter(|(_, requests)| requests.len() > 1);
    for (id, _) in doubled {
        assert!(in_flight.contains(id.as_str()), "{id} came twice and was not under way at a kill");
    }
    let doubles: usize = by_id.values().map(|r| r.len() - 1).sum();
    assert!(doubles <= KILLS * PLACES, "{doubles} doubles; at most {PLACES} were under way at each kill");
    #[allow(clippy::print_stderr)] // A figure for people.
    {
        eprintln!("{DELIVERIES} deliveries, {KILLS} kills: {doubles} doubles, {took:?}");
    }
}
