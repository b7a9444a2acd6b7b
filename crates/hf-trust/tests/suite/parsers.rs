//! What the fuzz targets check, on good inputs and on some thousand that are bent a little.

#[expect(unreachable_pub, reason = "the fuzz targets call it from outside")]
#[path = "../../../../fuzz/src/trust.rs"]
mod fuzz;

use hf_trust::quorum::State;

use crate::actors::{NOON, World, statement};
use crate::repository::Repository;

/// Numbers that are the same at every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).expect("a size")
    }
}

/// Cuts, doubles, swaps and spoils parts of an input.
fn bend(good: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bent = good.to_vec();
    for _ in 0..=numbers.below(3) {
        let (from, len) = (numbers.below(bent.len()), numbers.below(40));
        let to = (from + len).min(bent.len());
        match numbers.below(5) {
            0 => drop(bent.drain(from..to)),
            1 => {
                let part = bent[from..to].to_vec();
                let at = numbers.below(bent.len() + 1);
                bent.splice(at..at, part);
            }
            2 => bent.truncate(to),
            3 if from < bent.len() => bent[from] ^= 1 << numbers.below(8),
            _ => {
                let words: [&[u8]; 6] = [b"\n", b"\n\n", b"{", b"\"", b"0", b"-1"];
                let word = words[numbers.below(words.len())];
                bent.splice(from..from, word.iter().copied());
            }
        }
        if bent.is_empty() {
            break;
        }
    }
    bent
}

fn check(target: fn(&[u8]), good: &[u8], runs: u32) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    target(good);
    for _ in 0..runs {
        target(&bend(good, &mut numbers));
    }
}

#[test]
fn metadata() {
    let mut repository = Repository::new();
    repository.add_target("a/b", b"content");
    repository.sign_rest();
    for (role, name) in [(0, "1.root"), (1, "timestamp"), (2, "1.snapshot"), (3, "1.targets")] {
        let file = &repository.files[&format!("{name}.json")];
        check(fuzz::trust_tuf, &[&[role], file.as_slice()].concat(), 150);
    }
}

#[test]
fn notes_and_proofs() {
    let mut world = World::new();
    let note = world.attest(0, &statement("daily", 1, "content"));
    let indexes = world.log(0, &[&note]);
    world.logs[0].tree.push(b"more");
    let bundle = world.bundle(0, &[(&note, indexes[0])], &[0, 1], NOON);
    let proof = bundle.attestations[0].proofs[0].clone();
    let witness = world.witnesses[0].verifier.to_string();
    let policy = format!("witness a {witness}\ngroup g 1 a\nquorum g\n");
    for text in [&note.to_string(), note.text(), &proof, &witness, &policy, "a/*[!x]?\na/b"] {
        check(fuzz::trust_note, text.as_bytes(), 150);
    }
    check(fuzz::trust_bundle, &bundle.to_bytes(), 100);
    check(fuzz::trust_bundle, &State::default().to_bytes(), 100);
}

#[test]
fn policies() {
    check(fuzz::trust_policy, World::new().policy_text().as_bytes(), 100);
    check(fuzz::trust_policy, fuzz::policy().as_bytes(), 100);
}
