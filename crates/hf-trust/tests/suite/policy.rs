//! `policy.toml`: what is refused, and where the error points.

use crate::actors::World;
use hf_trust::quorum::Policy;

/// Checks that a changed policy is refused with this message.
#[track_caller]
fn check(from: &str, to: &str, want: &str) {
    let text = World::new().policy_text();
    let changed = text.replacen(from, to, 1);
    assert_ne!(text, changed, "{from}");
    let error = Policy::parse(&changed).expect_err(want).to_string();
    assert!(error.contains(want), "{error}");
}

#[test]
fn reads_a_policy() {
    let policy = Policy::parse(&World::new().policy_text()).expect("a policy");
    assert_eq!(policy.publishers.len(), 3);
    assert_eq!(policy.publishers[0].keys.len(), 2);
    assert_eq!(policy.rules.publishers_needed, 2);
    assert_eq!(policy.rules.stale_after_seconds, 2 * 86_400);
    assert_eq!(policy.rules_for("daily").publishers_needed, 2);
    assert_eq!(policy.rules_for("careful").publishers_needed, 3);
    assert_eq!(policy.rules_for("careful").logs_needed, 2);
    assert!(!policy.witnesses.quorum_of(&["w1"].into()));
    assert!(policy.witnesses.quorum_of(&["w1", "w3"].into()));
}

#[test]
fn errors_name_line_and_column() {
    check(
        "publishers_needed = 2",
        "publishers_needed = 4",
        "line 1, column 21: 4 publishers are needed, and there are only 3",
    );
    check(
        "publishers_needed = 2",
        "publishers_needed = 0",
        "line 1, column 21: at least 1 of the publishers",
    );
    check("publishers_needed = 2", "publishers_neded = 2", "line 1, column 1: unknown field");
    check("publishers_needed = 2\n", "", "missing field `publishers_needed`");
    check(
        "witnesses_needed = 2",
        "witnesses_needed = 9",
        "line 2, column 20: 9 witnesses are needed",
    );
    check("witnesses_needed = 2\n", "", "witnesses_needed is missing");
    check("\"2d\"", "\"2 days\"", "line 3, column 15: a time is");
    check("\"2d\"", "\"0d\"", "line 3, column 15: a time is");
    check("\"2d\"", "2", "line 3, column 15: invalid type");
    check("name = \"bob\"", "name = \"alice\"", "the name \"alice\" is taken");
    check("name = \"bob\"", "name = \"b ob\"", "\"b ob\" cannot be a name");
    check("logs_needed = 2", "logs_needed = 3", "3 logs are needed, and there are only 2");
    check(
        "[set.careful]",
        "[set.careful]\npublishers = [\"alice\", \"dave\"]",
        "there is no publisher \"dave\"",
    );
    check(
        "[set.careful]\npublishers_needed = 3",
        "[set.careful]\npublishers = [\"alice\"]",
        "2 publishers are needed",
    );
    check("[[log]]", "[[lög]]", "line 13, column 4: invalid");
    check("[[log]]", "[log]", "line");
}

#[test]
fn one_key_is_one_party() {
    let world = World::new();
    let bob = world.publishers[1][0].verifier.to_string();
    let carol = world.publishers[2][0].verifier.to_string();
    check(&carol, &bob, "this key is that of the publisher \"bob\" already");
    let w1 = world.witnesses[0].verifier.to_string();
    let w3 = world.witnesses[2].verifier.to_string();
    check(&w3, &w1, "this key is that of the witness \"w1\" already");
    check(&bob, &w1, "the key of the publisher \"bob\" is one of a witness");
    check(&w1, "w1.example+00000000+AAAA", "key of the witness \"w1\": ");
    let log = world.logs[0].key.verifier.to_string();
    check(&w1, &log, "this key is that of a log already");
    let mut broken = bob.clone();
    broken.replace_range(broken.len() - 3..broken.len() - 2, "x");
    check(&bob, &broken, "key of the publisher \"bob\": ");
}

#[test]
fn groups_and_tlog_policy() {
    let text = World::new().policy_text();
    let groups = "[[group]]\nname = \"g\"\nneeds = 1\nmembers = [\"w1\", \"w2\"]\n\
        [[group]]\nname = \"h\"\nneeds = \"all\"\nmembers = [\"g\", \"w3\"]\n";
    let grouped = text.replace("witnesses_needed = 2\n", "witness_quorum = \"h\"\n").replacen(
        "[set.",
        &format!("{groups}[set."),
        1,
    );
    let policy = Policy::parse(&grouped).expect("a policy");
    assert!(policy.witnesses.quorum_of(&["w2", "w3"].into()));
    assert!(!policy.witnesses.quorum_of(&["w1", "w2"].into()));
    for (from, to, want) in [
        ("needs = 1", "needs = 3", "needs has to be 1 to 2"),
        ("needs = 1", "needs = \"most\"", "needs has to be 1 to 2"),
        ("[\"g\", \"w3\"]", "[\"g\", \"w1\"]", "\"w1\" is a member already"),
        ("[\"w1\", \"w2\"]", "[\"w1\", \"h\"]", "\"h\" is no witness, nor a group before"),
        (
            "witness_quorum = \"h\"",
            "witness_quorum = \"i\"",
            "line 2, column 18: \"i\" is no witness",
        ),
        ("witness_quorum = \"h\"", "witnesses_needed = 1", "groups go with witness_quorum only"),
    ] {
        let changed = grouped.replacen(from, to, 1);
        assert_ne!(changed, grouped);
        let error = Policy::parse(&changed).expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    }
    let world = World::new();
    let tlog = format!(
        "log {}\nwitness a {}\nquorum a\n",
        world.logs[0].key.verifier, world.witnesses[0].verifier
    );
    let publisher =
        format!("[[publisher]]\nname = \"p\"\nkeys = [\"{}\"]\n", world.publishers[1][0].verifier);
    let text = format!("publishers_needed = 1\ntlog_policy = '''\n{tlog}'''\n{publisher}");
    let policy = Policy::parse(&text).expect("a policy");
    assert!(policy.witnesses.quorum_of(&["a"].into()));
    let error = Policy::parse(&text.replace("quorum a", "quorum b")).expect_err("an error");
    assert!(error.to_string().contains("tlog_policy: line 3: \"b\" is not defined"), "{error}");
    let error = Policy::parse(&format!("{text}[[log]]\nkey = \"x\"\n")).expect_err("an error");
    assert!(error.to_string().contains("tlog_policy says this already"), "{error}");
}

#[test]
fn hostile_text_is_refused() {
    for text in [
        "",
        "\0",
        "publishers_needed = 1",
        "publisher = 3",
        "[set.x]\n[set.x]",
        &"[".repeat(100_000),
        &"a.".repeat(50_000),
    ] {
        assert!(Policy::parse(text).is_err());
    }
    let text = World::new().policy_text();
    for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)).step_by(13) {
        let _ = Policy::parse(&text[..cut]);
    }
}
