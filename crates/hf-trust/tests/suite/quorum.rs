//! The owner's policy against hostile publishers, logs, witnesses, mirrors and clocks.

use crate::actors::{NOON, World, statement};
use hf_trust::Time;
use hf_trust::log::Note;
use hf_trust::quorum::{Accepted, Attestation, Bundle, Offer, Policy, Refused, State, verify};

/// A world in which release 7 of `daily` was accepted before.
struct Case {
    world: World,
    policy: Policy,
    state: State,
    set: &'static str,
    manifest: Option<[u8; 32]>,
    now: i64,
}

impl Case {
    fn new() -> Self {
        let world = World::new();
        let policy = Policy::parse(&world.policy_text()).expect("a policy");
        let (state, set) = (State::default(), "daily");
        let mut case = Self { world, policy, state, set, manifest: None, now: NOON };
        let bundle = case.publish(7, &[0, 1, 2]);
        case.state = case.offer(&bundle).expect("release 7 is good").state;
        case
    }

    /// Publishers attest a release, which is logged, witnessed and bundled as it should be.
    fn publish(&mut self, release: u64, publishers: &[usize]) -> Bundle {
        let content = format!("content of {release}");
        let notes = self.attest(release, &content, publishers);
        self.bundle(&notes, &[0, 1, 2])
    }

    fn attest(&mut self, release: u64, content: &str, publishers: &[usize]) -> Vec<Note> {
        let statement = statement(self.set, release, content);
        publishers.iter().map(|publisher| self.world.attest(*publisher, &statement)).collect()
    }

    fn bundle(&mut self, notes: &[Note], witnesses: &[usize]) -> Bundle {
        let before = self.world.logs[0].tree.size();
        let indexes = self.world.log(0, &notes.iter().collect::<Vec<_>>());
        let entries: Vec<(&Note, u64)> = notes.iter().zip(indexes).collect();
        let mut bundle = self.world.bundle(0, &entries, witnesses, self.now);
        if before > 0 {
            let log = &self.world.logs[0];
            bundle.consistency.push(log.grown(before, log.tree.size()));
        }
        bundle
    }

    fn offer(&self, bundle: &Bundle) -> Result<Accepted, Refused> {
        self.offer_bytes(&bundle.to_bytes())
    }

    fn offer_bytes(&self, bundle: &[u8]) -> Result<Accepted, Refused> {
        let offer = Offer { set: self.set, manifest: self.manifest, bundle, consistency: &[] };
        verify(&self.policy, &self.state, &offer, Time::from_unix(self.now))
    }
}

#[track_caller]
fn refused(case: &Case, bundle: &Bundle, attack: &str) -> Refused {
    let before = case.state.clone();
    let refusal = case.offer(bundle).expect_err(attack);
    assert_eq!(refusal.attack(), attack, "{refusal}");
    assert_eq!(case.state, before);
    refusal
}

#[test]
fn accepts_what_a_quorum_vouches_for() {
    let mut case = Case::new();
    case.now = NOON + 3600;
    let bundle = case.publish(8, &[0, 2]);
    let accepted = case.offer(&bundle).expect("accepted");
    assert_eq!(accepted.publishers, ["alice", "carol"]);
    assert_eq!(accepted.statement.release, 8);
    assert!(accepted.dissenting.is_empty() && !accepted.unchanged);
    assert_eq!(accepted.stale_by_seconds, None);
    assert_eq!(accepted.clock_behind_seconds, None);
    assert_eq!(accepted.fresh_until, Time::from_unix(NOON + 3600));
    assert_eq!(accepted.state.sets["daily"].release, 8);
    assert_eq!(accepted.state.logs["log1.example/holdfast"].size, 5);
    // The same again, from the same bytes, changes nothing.
    case.state = accepted.state;
    let again = case.offer(&bundle).expect("accepted");
    assert!(again.unchanged);
    assert_eq!(again.state, case.state);
    assert_eq!(State::parse(&case.state.to_bytes()), Ok(case.state.clone()));
    assert_eq!(Bundle::parse(&bundle.to_bytes()), Ok(bundle));
}

/// Every single operator may be gone, and updates go on.
#[test]
fn needs_no_single_operator() {
    for gone in 0..3 {
        let mut case = Case::new();
        let others: Vec<usize> = (0..3).filter(|one| *one != gone).collect();
        let notes = case.attest(8, "content", &others);
        let bundle = case.bundle(&notes, &others);
        assert!(case.offer(&bundle).is_ok(), "publisher and witness {gone}");
    }
    // The first log is gone for ever; the second takes over.
    let mut case = Case::new();
    let notes = case.attest(8, "content", &[0, 1]);
    let indexes = case.world.log(1, &[&notes[0], &notes[1]]);
    let entries = [(&notes[0], indexes[0]), (&notes[1], indexes[1])];
    let bundle = case.world.bundle(1, &entries, &[0, 1], NOON);
    let accepted = case.offer(&bundle).expect("accepted");
    assert_eq!(accepted.state.logs.len(), 2);
}

#[test]
fn refuses_a_stolen_minority_of_keys() {
    let mut case = Case::new();
    let bundle = case.publish(8, &[1]);
    let refusal = refused(&case, &bundle, "too-few-publishers");
    assert_eq!(refusal.to_string(), "1 of the 2 publishers needed vouch for this content");
    // The same statement twice is still one publisher; at other times too.
    let mut later = statement("daily", 8, "content");
    later.time = later.time.plus_seconds(1);
    let notes =
        vec![case.world.attest(1, &statement("daily", 8, "content")), case.world.attest(1, &later)];
    let bundle = case.bundle(&notes, &[0, 1]);
    refused(&case, &bundle, "too-few-publishers");
}

#[test]
fn a_minority_cannot_block_either() {
    let mut case = Case::new();
    let mut notes = case.attest(8, "content", &[0, 1]);
    notes.extend(case.attest(8, "evil content", &[2]));
    notes.extend(case.attest(9, "later evil content", &[2]));
    let mut bundle = case.bundle(&notes, &[0, 1]);
    // And noise: no note, a stranger's note, a spoilt signature.
    let spoilt = bundle.attestations[0].note.replace("builder holdfast", "builder holdfist");
    let proofs = bundle.attestations[0].proofs.clone();
    for note in ["", "no note", &spoilt] {
        bundle
            .attestations
            .insert(0, Attestation { note: note.to_owned(), proofs: proofs.clone() });
    }
    let accepted = case.offer(&bundle).expect("accepted");
    assert_eq!(accepted.publishers, ["alice", "bob"]);
    assert_eq!(accepted.dissenting, ["carol"]);
}

#[test]
fn refuses_a_statement_without_the_post_quantum_signature() {
    let mut case = Case::new();
    let statement = statement("daily", 8, "content");
    let mut alice = Note::new(statement.to_string()).expect("a text");
    case.world.publishers[0][0].sign(&mut alice, NOON);
    let bob = case.world.attest(1, &statement);
    let bundle = case.bundle(&[alice, bob], &[0, 1]);
    let refusal = refused(&case, &bundle, "too-few-publishers");
    assert!(refusal.to_string().contains("alice: "), "{refusal}");
}

#[test]
fn refuses_what_is_in_no_log() {
    let mut case = Case::new();
    let good = case.publish(8, &[0, 1]);
    let mut bundle = good.clone();
    bundle.attestations[0].proofs.clear();
    let refusal = refused(&case, &bundle, "too-few-publishers");
    assert!(
        refusal.to_string().contains("alice: it stands in 0 of the 1 logs needed"),
        "{refusal}"
    );
    // The proof of another entry.
    let mut bundle = good.clone();
    bundle.attestations[0].proofs = bundle.attestations[1].proofs.clone();
    refused(&case, &bundle, "too-few-publishers");
    // Another index, a hash less, a log that nobody knows.
    for (from, to) in [("index 3", "index 2"), ("log1.example", "log9.example")] {
        let mut bundle = good.clone();
        let proof = &mut bundle.attestations[0].proofs[0];
        assert!(proof.contains(from), "{proof}");
        *proof = proof.replace(from, to);
        refused(&case, &bundle, "too-few-publishers");
    }
}

#[test]
fn refuses_what_too_few_witnesses_saw() {
    let mut case = Case::new();
    let notes = case.attest(8, "content", &[0, 1, 2]);
    let bundle = case.bundle(&notes, &[1]);
    let refusal = refused(&case, &bundle, "too-few-publishers");
    assert!(refusal.to_string().contains("witnesses are missing: only 1"), "{refusal}");
    // Two lines of one witness are one witness.
    let bundle = case.bundle(&notes, &[1, 1]);
    refused(&case, &bundle, "too-few-publishers");
}

#[test]
fn refuses_a_rollback() {
    let mut case = Case::new();
    let bundle = case.publish(6, &[0, 1, 2]);
    let refusal = refused(&case, &bundle, "rollback");
    assert_eq!(
        refusal.to_string(),
        "roll-back: release 6 of \"daily\" is older than release 7, which is in use"
    );
}

#[test]
fn refuses_a_fork() {
    // Another content under the release in use.
    let mut case = Case::new();
    let notes = case.attest(7, "other content", &[0, 1]);
    let bundle = case.bundle(&notes, &[0, 1]);
    refused(&case, &bundle, "fork");
    // Publishers who do not agree on a new one.
    let mut notes = case.attest(8, "one content", &[0]);
    notes.extend(case.attest(8, "other content", &[1]));
    let bundle = case.bundle(&notes, &[0, 1]);
    refused(&case, &bundle, "fork");
    // Publishers who sign two contents, each with a quorum.
    let mut notes = case.attest(8, "one content", &[0, 1]);
    notes.extend(case.attest(8, "other content", &[0, 2]));
    let bundle = case.bundle(&notes, &[0, 1]);
    refused(&case, &bundle, "fork");
}

#[test]
fn refuses_mixed_versions() {
    let mut case = Case::new();
    let mut notes = case.attest(8, "content", &[0]);
    notes.extend(case.attest(9, "content", &[1]));
    let bundle = case.bundle(&notes, &[0, 1]);
    let refusal = refused(&case, &bundle, "mix-and-match");
    assert!(refusal.to_string().contains("releases 8 to 9"), "{refusal}");
    // The channel's metadata names another manifest.
    let mut bundle = case.publish(8, &[0, 1]);
    bundle.consistency.push(case.world.logs[0].grown(3, 7));
    case.manifest = Some([0; 32]);
    refused(&case, &bundle, "mix-and-match");
    case.manifest = Some(statement("daily", 8, "content of 8").manifest);
    assert!(case.offer(&bundle).is_ok());
    // Statements on another set.
    case.set = "other";
    refused(&case, &bundle, "too-few-publishers");
}

#[test]
fn refuses_a_split_view() {
    // The log shows us another history than before: rewritten from its first entry on.
    let mut case = Case::new();
    let mut other = World::new();
    other.logs[0].tree.push(b"another beginning");
    for _ in 0..4 {
        other.logs[0].tree.push(b"more");
    }
    case.world.logs[0].tree = other.logs[0].tree.clone();
    let notes = case.attest(8, "content", &[0, 1]);
    let mut bundle = case.bundle(&notes, &[0, 1]);
    bundle.consistency = vec![case.world.logs[0].grown(3, 7)];
    refused(&case, &bundle, "split-view");
    // It has no proof to offer.
    bundle.consistency.clear();
    let refusal = refused(&case, &bundle, "split-view");
    assert!(matches!(refusal, Refused::NoConsistency { from: 3, to: 7, .. }), "{refusal}");
    // Nor do its own tiles give one.
    let own = [case.world.logs[0].grown(3, 7)];
    let bytes = bundle.to_bytes();
    let offer = Offer { set: "daily", manifest: None, bundle: &bytes, consistency: &own };
    let refusal = verify(&case.policy, &case.state, &offer, Time::from_unix(NOON));
    assert!(matches!(refusal, Err(Refused::SplitView { size: 7, .. })), "{refusal:?}");
    // A mirror that spoils the proof only makes us ask the log itself.
    let mut case = Case::new();
    let mut bundle = case.publish(8, &[0, 1]);
    bundle.consistency[0].hashes[0] = [0; 32];
    let refusal = refused(&case, &bundle, "split-view");
    assert!(matches!(refusal, Refused::NoConsistency { from: 3, to: 5, .. }), "{refusal}");
    let own = [case.world.logs[0].grown(3, 5)];
    let bytes = bundle.to_bytes();
    let offer = Offer { set: "daily", manifest: None, bundle: &bytes, consistency: &own };
    assert!(verify(&case.policy, &case.state, &offer, Time::from_unix(NOON)).is_ok());
    // Two histories of one size.
    let mut case = Case::new();
    case.world.logs[0].tree = crate::actors::Tree::default();
    let notes = case.attest(8, "content", &[0, 1, 2]);
    let bundle = case.bundle(&notes, &[0, 1]);
    assert_eq!(case.world.logs[0].tree.size(), 3);
    refused(&case, &bundle, "split-view");
}

#[test]
fn refuses_two_histories_in_one_bundle() {
    let mut case = Case::new();
    case.state = State::default();
    let notes = case.attest(8, "content", &[0, 1]);
    let one = case.bundle(&notes[..1], &[0, 1]);
    case.world.logs[0].tree = crate::actors::Tree::default();
    case.world.logs[0].tree.push(b"x");
    case.world.logs[0].tree.push(b"y");
    case.world.logs[0].tree.push(b"z");
    let mut both = case.bundle(&notes[1..], &[0, 1]);
    both.attestations.extend(one.attestations);
    refused(&case, &both, "split-view");
}

#[test]
fn refuses_a_log_that_shrank() {
    let mut case = Case::new();
    let bundle = case.publish(8, &[0, 1]);
    case.state = case.offer(&bundle).expect("accepted").state;
    // Release 9, logged where release 8 stood.
    let mut short = Case::new();
    let notes = short.attest(9, "content", &[0]);
    let more = short.attest(9, "content", &[1]);
    let mut bundle = short.bundle(&notes, &[0, 1]);
    let size = short.world.logs[0].tree.size();
    let second = short.bundle(&more, &[0, 1]);
    bundle.attestations.extend(second.attestations);
    bundle.consistency.push(short.world.logs[0].grown(size, size + 1));
    bundle.consistency.push(short.world.logs[0].grown(3, size));
    assert!(short.offer(&bundle).is_ok(), "for who has not seen more");
    refused(&case, &bundle, "rollback");
}

#[test]
fn an_older_head_is_good_for_another_set() {
    let mut case = Case::new();
    case.set = "weekly";
    let weekly = case.publish(1, &[0, 1]);
    case.set = "daily";
    let daily = case.publish(8, &[0, 1]);
    // The first proof of a larger head leads from 3 entries, not from 5.
    let mut daily = daily;
    daily.consistency.push(case.world.logs[0].grown(3, 7));
    case.state = case.offer(&daily).expect("accepted").state;
    case.set = "weekly";
    refused(&case, &weekly, "split-view");
    let mut weekly = weekly;
    weekly.consistency.push(case.world.logs[0].grown(5, 7));
    let accepted = case.offer(&weekly).expect("accepted");
    assert_eq!(accepted.state.logs["log1.example/holdfast"].size, 7);
    assert_eq!(accepted.state.sets["weekly"].logs["log1.example/holdfast"], 5);
}

#[test]
fn tells_a_freeze_and_does_not_stop() {
    let mut case = Case::new();
    let bundle = case.publish(8, &[0, 1]);
    case.now = NOON + 2 * 86_400 + 60;
    let accepted = case.offer(&bundle).expect("stale, and accepted");
    assert_eq!(accepted.stale_by_seconds, Some(60));
    // One witness that lies about the time makes nothing fresh.
    let notes = case.attest(8, "content of 8", &[0, 1]);
    let indexes = case.world.log(0, &[&notes[0], &notes[1]]);
    let log = &case.world.logs[0];
    let mut checkpoint = log.checkpoint(log.tree.size(), &[&case.world.witnesses[0]], NOON);
    case.world.witnesses[1].sign(&mut checkpoint, NOON + 50 * 86_400);
    let attestations = notes.iter().zip(&indexes).map(|(note, index)| Attestation {
        note: note.to_string(),
        proofs: vec![log.prove(*index, checkpoint.clone())],
    });
    let consistency = vec![log.grown(3, log.tree.size())];
    let lied = Bundle { attestations: attestations.collect(), consistency };
    assert_eq!(case.offer(&lied).expect("accepted").fresh_until, Time::from_unix(NOON));
}

#[test]
fn hostile_clocks_stop_nothing() {
    let mut case = Case::new();
    let bundle = case.publish(8, &[0, 1]);
    // Set back to 1970: told, and nothing becomes fresh by it.
    case.now = 0;
    let accepted = case.offer(&bundle).expect("accepted");
    assert_eq!(accepted.clock_behind_seconds, Some(NOON));
    assert_eq!(accepted.stale_by_seconds, None);
    case.state.latest = Some(Time::from_unix(NOON + 10 * 86_400));
    assert_eq!(case.offer(&bundle).expect("accepted").stale_by_seconds, Some(8 * 86_400));
    // Set far ahead: stale, and accepted.
    case.now = i64::MAX;
    assert!(case.offer(&bundle).expect("accepted").stale_by_seconds > Some(86_400));
}

#[test]
fn refuses_endless_and_unreadable_proofs() {
    let mut case = Case::new();
    let bundle = case.publish(8, &[0, 1]);
    let check = |bytes: &[u8], attack: &str| {
        let refusal = case.offer_bytes(bytes).expect_err(attack);
        assert_eq!(refusal.attack(), attack, "{refusal}");
    };
    check(&vec![b' '; 2 << 20], "endless-data");
    let mut many = bundle.clone();
    many.attestations = vec![bundle.attestations[0].clone(); 65];
    check(&many.to_bytes(), "endless-data");
    check(b"", "malformed");
    check(b"{}", "malformed");
    let text = String::from_utf8(bundle.to_bytes()).expect("UTF-8");
    check(text.replacen("proofs/1", "proofs/2", 1).as_bytes(), "malformed");
    check(text.replacen("\"from\"", "\"form\"", 1).as_bytes(), "malformed");
    for cut in (0..text.len() - 1).step_by(97) {
        check(text.get(..cut).unwrap_or_default().as_bytes(), "malformed");
    }
}

/// Each byte of a good bundle may be spoilt: what is accepted then is still the same content.
#[test]
fn spoilt_bytes_change_no_content() {
    let mut case = Case::new();
    let bytes = case.publish(8, &[0, 1]).to_bytes();
    let good = case.offer_bytes(&bytes).expect("accepted");
    let mut refusals = 0;
    for at in (0..bytes.len()).step_by(101) {
        let mut spoilt = bytes.clone();
        spoilt[at] ^= 1;
        match case.offer_bytes(&spoilt) {
            Ok(accepted) => assert_eq!(accepted.statement, good.statement),
            Err(_) => refusals += 1,
        }
    }
    assert!(refusals > 50, "{refusals}");
}

#[test]
fn a_set_may_have_rules_of_its_own() {
    let mut case = Case::new();
    case.set = "careful";
    let content = statement("careful", 1, "content");
    let notes: Vec<Note> = (0..3).map(|one| case.world.attest(one, &content)).collect();
    let first = case.world.log(0, &notes.iter().collect::<Vec<_>>());
    let second = case.world.log(1, &notes.iter().collect::<Vec<_>>());
    let entries = |indexes: Vec<u64>| notes.iter().zip(indexes).collect::<Vec<_>>();
    let mut bundle = case.world.bundle(0, &entries(first), &[0, 1, 2], NOON);
    bundle.consistency.push(case.world.logs[0].grown(3, 6));
    refused(&case, &bundle, "too-few-publishers");
    let other = case.world.bundle(1, &entries(second), &[0, 1, 2], NOON);
    for (one, other) in bundle.attestations.iter_mut().zip(other.attestations) {
        one.proofs.extend(other.proofs);
    }
    let accepted = case.offer(&bundle).expect("accepted");
    assert_eq!(accepted.publishers.len(), 3);
    assert_eq!(accepted.logs.len(), 2);
}
