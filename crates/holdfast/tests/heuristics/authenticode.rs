//! A signed program against rules on certificates (`crb`).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::run::{Group, available, differences};

/// A program that does nothing, signed in 2026 by a signer who is valid until 2032.
fn signed() -> Vec<u8> {
    let text: String =
        include_str!("../../../hf-formats/src/executables/authenticode/signed.base64")
            .split_whitespace()
            .collect();
    STANDARD.decode(text).expect("it is base64")
}

/// Subject, serial number, key.
#[rustfmt::skip]
const ROOT: [&str; 3] = [
    "c4b5591dbfbed866b78d03f84f030efc25fac015",
    "02fc8d244b98a34ed8ade1558e7df0b7a0447a2f",
    "c6a219def3d1e13595c4476365f52b1d6e34816ba75b76c49e7cf3a985806e9a256fabe649469c1e47c4716d0b7124f2cf8e726596aeccca3b425290c1c374e55dbedb3403ccb0e41b8a325beeb194827e068afd8d9d1e02a20d47cde96de9003231bcf91959f319f977b8edde5d83f8a7f3e99f93bd1635e87eb0f3fd5b7a2a17e2ca1a6077448e91cadb652b5a69016ddb72628921948678c44ceb8e03803ac59fa8bd88e00cf7683e8c8c5519c2985c78b44865cca9a4afb14a2ad9d0cb833ae20d1bc176afadd81668476a5a9938bff948cc7c325e81b56e609d961b03bf38d7d326aa6c469c955d8694ad720e2d623456acf9057ec6ab5a8283aaf23baf",
];
#[rustfmt::skip]
const LEAF: [&str; 3] = [
    "3cb145386b1bd8083a453c37fe49c108b9a3d7bd",
    "f547969736d1e7689f9bba0569ae5b3bc4066765",
    "bdaba1a49d4fd5266a3a39a6dadf70c5b79aaac391f9b6caf9e846e01607c2b02c209ba1080d7d4370dd6b95fd3728a15caa8ba6536589495d8b883b223ea49dea135ddeb26a57a9d7945256bd4d3ca3a2f660c1842978576bb1e1a3c0d396278f155368fa0bd06f484ab7c11068823c622b5ad849d20ec231ce2e373e6797e3375bc90b7a565857ea74c545ae8776044d62e09c9a4d9477db0ceb5aa341ded1ce120ede08069755f10e38197ef0afe49188a8fd1ed6df753cc14256ed29e108089c140c3b0339484000d48857be0de24db38efd2689183ffa693be438178c85d1247f452203a0d999c854a67b32d5abd0dee38dc651b6f0cb1a6f5a79eaa011",
];

fn rule(name: &str, trusted: u8, [subject, serial, key]: [&str; 3], may: &str) -> String {
    format!("{name};{trusted};{subject};{serial};{key};010001;{may};;a comment\n")
}

#[test]
fn signed_programs() {
    if !available() {
        return;
    }
    let good = rule("Good.Root", 1, ROOT, "1;1;1");
    let bad = |of: [&str; 3]| rule("Bad.Signer", 0, of, "1;1;1");
    let lists = [
        String::new(),
        good.clone(),
        rule("Good.Leaf", 1, LEAF, "1;1;1"),
        rule("Good.Root", 1, [ROOT[0], "", ROOT[2]], "1;0;1"),
        rule("Good.Root", 1, ROOT, "0;1;1"),
        rule("Good.Root", 1, ROOT, "1;1;0"),
        bad(LEAF),
        bad(ROOT),
        format!("{good}{}", bad(LEAF)),
        format!("{}{good}", bad(ROOT)),
        bad([LEAF[0], "", LEAF[2]]),
        bad([LEAF[0], ROOT[1], LEAF[2]]),
        bad([ROOT[0], LEAF[1], LEAF[2]]),
        bad([LEAF[0], LEAF[1], ROOT[2]]),
    ];
    let program = signed();
    let mut altered = program.clone();
    altered[0x210] ^= 1;
    let longer = [program.as_slice(), b"more than was signed"].concat();
    let files = [("signed", &program), ("altered", &altered), ("longer", &longer)];
    let files: Vec<_> = files.map(|(name, bytes)| (name.to_owned(), bytes.clone())).to_vec();
    let pattern = b"Found.Program:1:*:50450000\nFound.Text:0:*:486f6c6466617374\n".to_vec();
    let mut groups = Vec::new();
    for list in lists {
        for options in [vec![], vec!["--nocerts"], vec!["--allmatch"]] {
            let mut databases = vec![("a.ndb".to_owned(), pattern.clone())];
            if !list.is_empty() {
                databases.push(("a.crb".to_owned(), list.clone().into_bytes()));
            }
            groups.push(Group { options, databases, files: files.clone() });
        }
    }
    let lines: Vec<String> = groups.iter().flat_map(differences).collect();
    assert!(lines.is_empty(), "{} differ:\n{}", lines.len(), lines.join("\n"));
}
