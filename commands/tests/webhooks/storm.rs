//! Ten thousand deliveries while their sender is killed twenty times.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use recovery::queue::Callback;
use standardwebhooks::Webhook;

use super::office::{Office, SECRET};
use super::receiver::Receiver;
use crate::crash::scene::wait_for;

const DELIVERIES: usize = 10_000;
const KILLS: usize = 20;
const PLACES: usize = 16;

/// Posts of the same size and number at a time with reqwest alone: requests a second.
fn bare_rate(receiver: &Receiver, bodies: usize) -> f64 {
    let _ = rustls::crypto::ring::default_provider().install_default(); // Once is enough.
    let client = reqwest::Client::builder().no_proxy().tls_certs_only(Vec::new()).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = receiver.url("/bare");
    let begun = Instant::now();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for task in 0..PLACES {
            let (client, url) = (client.clone(), url.clone());
            tasks.push(tokio::spawn(async move {
                for n in (task..bodies).step_by(PLACES) {
                    let post = client.post(&url).header("webhook-id", n.to_string());
                    let answer = post.body(vec![b'x'; 300]).send().await.unwrap();
                    assert!(answer.bytes().await.unwrap().is_empty());
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    bodies as f64 / begun.elapsed().as_secs_f64()
}

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
        // A little further each time, at a moment that nobody chooses.
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
    #[allow(clippy::print_stderr)] // A figure for whoever asks.
    {
        eprintln!("{DELIVERIES} deliveries, {KILLS} kills: {doubles} doubles, {took:?}");
    }
}

/// The same machine, the same receiver, the same minute: only the ratio counts. Others may take the processors
/// from either side: the best of three rounds.
#[test]
fn delivering_is_not_much_slower_than_bare_requests() {
    let receiver = Receiver::kind();
    let office = Office::new(&format!("concurrency = {PLACES}\nper_endpoint = {PLACES}"));
    let url = receiver.url("/end");
    let number = if cfg!(debug_assertions) { 2_000 } else { DELIVERIES };
    // A debug build signs and logs slowly; what it is worth is measured in a release build.
    let least = if cfg!(debug_assertions) { 0.2 } else { 0.7 };
    let mut rounds = Vec::new();
    for round in 0..3 {
        office.ended((0..number).map(|n| format!("job-{round}-{n}")), &|_| Callback::to(&*url));
        let before = receiver.count();
        assert_eq!(office.deliver()["delivered"], number);
        let requests = receiver.requests();
        let took = requests.last().unwrap().at - requests[before].at;
        let rate = number as f64 / took.as_secs_f64();
        let bare = bare_rate(&receiver, number);
        rounds.push(rate / bare);
        #[allow(clippy::print_stderr)]
        {
            eprintln!("{rate:.0}/s against {bare:.0}/s of bare requests: {:.2}", rate / bare);
        }
        if rate / bare >= least {
            return;
        }
    }
    panic!("never {least} of the rate of bare requests: {rounds:?}");
}
