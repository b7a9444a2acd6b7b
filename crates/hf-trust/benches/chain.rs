//! How long the whole chain takes to verify: TUF from an old root on, then the quorum with its proofs.
//!
//! `cargo bench -p hf-trust --bench chain`; ends in an error when it takes 50 ms or more.

#[expect(dead_code, reason = "tests use more of it")]
#[path = "../tests/suite/actors.rs"]
mod actors;
#[path = "../tests/suite/repository.rs"]
mod repository;

use std::time::Instant;

use actors::{NOON, World, statement};
use hf_trust::Time;
use hf_trust::quorum::{Offer, Policy, State, verify};
use repository::{Repository, update};

const RUNS: u32 = 20;
const LIMIT_MS: f64 = 50.0;

fn main() {
    let mut repository = Repository::new();
    repository.hybrid();
    for _ in 0..3 {
        repository.publish_root();
    }
    for number in 0..1000 {
        repository.add_target(&format!("sets/{number}/manifest.json"), b"content");
    }
    repository.publish_all();
    let trusted = repository.trusted();
    let mut world = World::new();
    let policy = Policy::parse(&world.policy_text()).expect("a policy");
    let said = statement("daily", 8, "content");
    let notes: Vec<_> = (0..3).map(|one| world.attest(one, &said)).collect();
    for number in 0..10_000 {
        world.logs[0].tree.push(format!("entry {number}").as_bytes());
    }
    let indexes = world.log(0, &notes.iter().collect::<Vec<_>>());
    let entries: Vec<_> = notes.iter().zip(indexes).collect();
    let bundle = world.bundle(0, &entries, &[0, 1, 2], NOON).to_bytes();

    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        let (target, _) = update(&repository, trusted.clone(), NOON, Some("sets/7/manifest.json"));
        assert!(target.is_ok());
        let offer = Offer { set: "daily", manifest: None, bundle: &bundle, consistency: &[] };
        let state = State::default();
        assert!(verify(&policy, &state, &offer, Time::from_unix(NOON)).is_ok());
        best = best.min(start.elapsed().as_secs_f64() * 1000.0);
    }
    println!("whole chain: {best:.1} ms (5 roots, 1000 targets, 3 publishers, 3 witnesses)");
    assert!(best < LIMIT_MS, "{best:.1} ms is too long");
}
