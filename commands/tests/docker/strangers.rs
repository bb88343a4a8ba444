//! Orphaned containers among living ones and strangers'.

use super::engine::{labels, strange_labels, with_engine};
use crate::common::{Background, Place, until};

#[test]
fn of_fifty_orphans_fifty_living_and_fifty_strangers_exactly_the_orphans_go() {
    const EACH: usize = 50;
    with_engine(|engine| {
        let place = Place::new();
        engine.run(&place, &["init"]).ends_with(0);
        let live = place.path("live");
        let script = format!("until [ -e {} ]; do sleep 0.05; done", live.display());
        engine.run(&place, &["submit", "--id", "living", "--", "sh", "-c", &script]).ends_with(0);
        let daemon = Background::start(engine.command(&place).arg("daemon"));
        until("the job to run", || engine.json(&place, &["jobs", "show", "living"])["status"] == "running");
        let make = |name: &str, labels: &(dyn Fn(usize) -> Vec<String> + Sync)| {
            std::thread::scope(|scope| {
                for part in 0..4 {
                    scope.spawn(move || {
                        for n in (part..EACH).step_by(4) {
                            let name = format!("{name}-{n}");
                            engine.created(&name, &labels(n));
                        }
                    });
                }
            });
        };
        make("orphan", &|n| labels(&place, &format!("gone-{n}")));
        make("live", &|_| labels(&place, "living"));
        // The same job ids in another state directory, and a name that our pattern would match.
        make("cidx-living-strange", &|n| strange_labels(&format!("gone-{n}")));
        let scan = engine.json(&place, &["scan", "--kind", "container"]);
        assert_eq!(scan["candidates_total"], EACH, "{scan}");
        assert_eq!(scan["scanned"]["container"], 3 * EACH);
        let plan = scan["plan_id"].as_str().unwrap().to_owned();
        for (name, verdict, against) in [
            ("orphan-3", "orphan", None),
            ("live-3", "protected", Some("job-over: ")),
            ("cidx-living-strange-3", "protected", Some("our-label: ")),
        ] {
            let why = engine.json(&place, &["why", &format!("container:{name}")]);
            assert_eq!(why["verdict"], verdict, "{why}");
            assert_eq!(why["plan_id"].is_string(), against.is_none(), "{why}");
            let reason = why["reason"].as_str().unwrap_or_default();
            assert!(reason.starts_with(against.unwrap_or_default()), "{why}");
            // Its id, whole or short, means the same object.
            let id = why["object"].as_str().unwrap();
            assert_eq!(engine.json(&place, &["why", &id[.."container:".len() + 12]])["object"], id);
        }
        engine.run(&place, &["why", "container:none-of-these"]).ends_with(5);
        // One of them comes alive between scan and cleanup.
        engine.run(&place, &["submit", "--id", "gone-7", "--", "sh", "-c", &script]).ends_with(0);
        let done = engine.json(&place, &["orphans", "cleanup", "--plan", &plan, "--yes"]);
        assert_eq!(done["removed"].as_array().unwrap().len(), EACH - 1, "{done}");
        assert_eq!(done["refused"].as_array().unwrap().len(), 1, "{done}");
        assert_eq!(done["refused"][0]["check"], "job-over", "{done}");
        let left = engine.names("container");
        assert_eq!(left.iter().filter(|n| n.starts_with("orphan-")).collect::<Vec<_>>(), ["orphan-7"]);
        assert_eq!(left.len(), 2 * EACH + 1);
        engine.run(&place, &["why", "container:orphan-3"]).ends_with(5);
        std::fs::write(&live, "").unwrap();
        until("the jobs to end", || {
            let jobs = engine.json(&place, &["jobs", "list"]);
            jobs["jobs"].as_array().unwrap().iter().all(|j| j["status"] == "succeeded")
        });
        drop(daemon);
        // Both jobs are over now, so what they left belongs to nobody.
        engine.run(&place, &["scan"]).ends_with(0);
        let done = engine.json(&place, &["orphans", "cleanup", "--yes"]);
        assert_eq!(done["removed"].as_array().unwrap().len(), EACH + 1, "{done}");
        assert!(engine.names("container").iter().all(|n| n.starts_with("cidx-living-strange-")));
        assert_eq!(engine.names("container").len(), EACH);
    });
}
