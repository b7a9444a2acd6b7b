//! First inputs of the targets that are not about a format. Those of formats are the formats' fixtures.
//!
//! Everything here is made up: no signature or object is anybody's.

use std::io;
use std::path::Path;

use hf_content::{ContentOptions, compile_in_memory};
use hf_ipc::{Channel, FromWorker, Message, Probe, ScanRequest, ToWorker};
use sha2::{Digest as _, Sha256};

use crate::SUFFIXES;
use crate::pack::OBJECT;

/// Writes the inputs to `FOLDER/TARGET/seed-…`.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    let mut number = 0;
    let mut put = |target: &str, bytes: &[u8]| {
        number += 1;
        std::fs::create_dir_all(folder.join(target))?;
        std::fs::write(folder.join(target).join(format!("seed-{number:03}")), bytes)
    };
    for (suffix, text) in DATABASES {
        let at = SUFFIXES.iter().position(|known| known == suffix).unwrap_or(0);
        put("sig_load", &[&[u8::try_from(at).unwrap_or(0)], text.as_bytes()].concat())?;
    }
    for (first, text) in PATTERNS {
        put("match_pattern", &[&[*first], text.as_bytes(), b"\0", OBJECT_TEXT].concat())?;
    }
    for kind in 0..3 {
        put("cvd", &[&[kind], &container()[..]].concat())?;
        let detached: &[u8] = b"\nSIGN\n#clamsign-1.0\n2:MIAGCSqGSIb3DQEHAqCAMIACAQExDzANBg==\n";
        put("cvd", &[&[kind], &container()[..], detached].concat())?;
    }
    for databases in [&DATABASES[..6], &DATABASES[6..14], &DATABASES[14..]] {
        let Some((file, sections)) = packs(databases) else { continue };
        if file.len() < 60_000 {
            put("pack_open", &[&[0], &file[..]].concat())?;
        }
        put("pack_open", &[&[1], &sections[..]].concat())?;
    }
    put("ipc_frame", &[&[0], &frame::<_, FromWorker>(&ToWorker::Quit)[..]].concat())?;
    let probe = ToWorker::Probe(Probe::OpenFile("/x".into()));
    put("ipc_frame", &[&[0], &frame::<_, FromWorker>(&probe)[..]].concat())?;
    let request = ScanRequest { id: 7, name: b"name".to_vec(), ..ScanRequest::default() };
    let scan = frame::<_, FromWorker>(&ToWorker::Scan(vec![request.clone(), request]));
    put("ipc_frame", &[&[2 | 2 << 2], scan.get(12..).unwrap_or_default()].concat())?;
    let report = Box::new(hf_core::Report::failed("text"));
    let report = frame::<_, ToWorker>(&FromWorker::Report { id: 5, report });
    put("ipc_frame", &[&[1], &report[..]].concat())?;
    put("ipc_frame", &[&[3], report.get(12..).unwrap_or_default()].concat())?;
    put("trust_policy", crate::trust::policy().as_bytes())?;
    for text in TRUST {
        put("trust_note", text.as_bytes())?;
    }
    for (first, text) in TUF {
        put("trust_tuf", &[&[*first], text.as_bytes()].concat())?;
    }
    put("channel_manifest", CHANNEL_MANIFEST.as_bytes())?;
    put("channel_changes", CHANNEL_CHANGES.as_bytes())?;
    for text in BUNDLES {
        put("trust_bundle", text.as_bytes())?;
    }
    Ok(())
}

/// Returns the bytes of a frame; descriptors of requests are standard input.
fn frame<S: Message, R: Message>(message: &S) -> Vec<u8> {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;
    let Ok((ours, theirs)) = hf_ipc::pair() else { return Vec::new() };
    let stdin = io::stdin();
    let wanted = (0..=8).find(|count| message.check(*count).is_ok()).unwrap_or(0);
    let mut sender = Channel::<S, R>::new(ours);
    let _ = sender.send(message, &vec![stdin.as_fd(); wanted], None);
    drop(sender);
    let mut bytes = Vec::new();
    let _ = std::os::unix::net::UnixStream::from(theirs).read_to_end(&mut bytes);
    bytes
}

/// Returns a pack of databases, as a file and as the sections of an input of `pack_open`.
fn packs(databases: &[(&str, &str)]) -> Option<(Vec<u8>, Vec<u8>)> {
    let named: Vec<(String, &str)> =
        databases.iter().map(|(suffix, text)| (format!("x.{suffix}"), *text)).collect();
    let databases: Vec<(&str, &[u8])> =
        named.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let mut options = ContentOptions::default();
    options.load.keep_going = true;
    let pack = compile_in_memory(&databases, &options).ok()?;
    let mut sections = Vec::new();
    let mut push = |id: u32, bytes: &[u8]| {
        sections.extend_from_slice(&id.to_le_bytes());
        sections.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
        sections.extend_from_slice(bytes);
    };
    push(OBJECT.0, OBJECT_TEXT);
    for (id, _) in pack.sections().filter(|(id, _)| *id != hf_pack::SectionId::META) {
        push(id.0, pack.section(id));
    }
    Some((pack.as_bytes().to_vec(), sections))
}

/// Returns an unsigned container.
fn container() -> Vec<u8> {
    let database = b"Test.A-1:0:*:41424344454647\n";
    let digest: String =
        Sha256::digest(database).iter().map(|byte| format!("{byte:02x}")).collect();
    let line = "ClamAV-VDB:22 Feb 2023 16-33 -0500:7:1:90:X:X:tester:1677101592";
    let info = format!("{line}\nx.ndb:{}:{digest}\nDSIG:abc\n", database.len());
    let mut file = format!("{line:<512}").into_bytes();
    // An archive that is not compressed starts with this name.
    for (name, data) in
        [("COPYING", &b"free"[..]), ("x.info", info.as_bytes()), ("x.ndb", database)]
    {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[156] = b'0';
        header[257..262].copy_from_slice(b"ustar");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        file.extend_from_slice(&header);
        file.extend_from_slice(data);
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file.resize(file.len() + 1024, 0);
    file
}

/// What patterns meet.
const OBJECT_TEXT: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnop 0123456789 AbCdEf";

/// A database of each language: suffix and text.
const DATABASES: &[(&str, &str)] = &[
    (
        "ldb",
        "Test.A-1;Engine:51-255,Target:0;(0&1)|(2>1,2);41424344;616263??6566::iw;EP+0,10:46??4748;\
         0/AB(C|D)+.*z/gi;0(>>2#hb1#=41)\nTest.B-1;Target:0,FileSize:1-100;0=1&(1|2);414243{2-4}4647;\
         (4142|4344)45;!(41)4243;\n",
    ),
    ("ndb", "Test.C-1:0:*:41424344{2-4}4748*4c4d\nTest.D-1:1:EP+0:(61|62)6364[1-3]65\n"),
    ("db", "Test.E=4142434445464748494a\n"),
    ("hdb", "44d88612fea8a8f36de82e1278abb02f:68:Test.F\n"),
    ("hsb", "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f:*:Test.G:73\n"),
    ("cdb", "Test.H:CL_TYPE_ZIP:*:^A.*Z:10:1-99:0:1:*:*:\n"),
    ("mdb", "4096:44d88612fea8a8f36de82e1278abb02f:Test.I\n"),
    ("imp", "44d88612fea8a8f36de82e1278abb02f:68:Test.J\n"),
    (
        "ftm",
        "0:0:4142:Test:CL_TYPE_ANY:CL_TYPE_MSEXE\n1:*:4142??44:Test2:CL_TYPE_ANY:CL_TYPE_ZIPSFX\n",
    ),
    ("pwdb", "Test.K;Engine:81-255;0;infected\n"),
    ("fp", "44d88612fea8a8f36de82e1278abb02f:68:Test.L\n"),
    ("ign2", "Test.A-1\nTest.B-1:44d88612fea8a8f36de82e1278abb02f\n"),
    ("cfg", "PE:0x1:70\nDOCUMENT:0x2:70\n"),
    ("pdb", "H:example.com\nR:.+\\.example\\.org([/?].*)?:17-\n"),
    ("wdb", "X:.+\\.example\\.com:.+\\.example\\.org:17-\nM:a.example.com:b.example.com\n"),
    ("gdb", "S:F:44d88612fea8a8f36de82e1278abb02f44d88612fea8a8f36de82e1278abb02f\n"),
    ("zmd", "Test.M:0:^A.*:10:20:*:8:1:1\n"),
    ("rmd", "Test.N:*:^A.*:10:20:1:*:*:*\n"),
    ("crb", "Test;0;44d88612fea8a8f36de82e1278abb02f44d88612;;;0;0;0;0;\n"),
    (
        "cbc",
        "ClamBCafhaio`lfcf|aa```c``a```|ah`cnbac`cecnb`c``beaacp`clamcoincidencejb:4096\nTest\n",
    ),
    ("info", "ClamAV-VDB:22 Feb 2023 16-33 -0500:7:1:90:X:X:tester:1677101592\nx.ndb:1:00\n"),
    (
        "yar",
        "rule a : b { meta: x = 1 strings: $a = \"AB\" nocase $b = { 41 ?? (42|43) } condition: any of them }\n",
    ),
    (
        "ioc",
        "<ioc><Indicator><IndicatorItem><Content type=\"md5\">44d8</Content></IndicatorItem></Indicator></ioc>",
    ),
    ("cat", "\u{1}\u{2}"),
    (
        "idb",
        "Test:G1:G2:188080801f0000000000000000000000000000000000000000000000000000000000000000\n",
    ),
];

/// Databases of the languages that the first byte chooses.
const PATTERNS: &[(u8, &str)] = &[
    (0, "T;Target:0;(0&1)|2;41424344;616263??6566::i;0/AB(C|D)+.*Z/gi\n"),
    (0, "T;Target:0;0&1&2;4142(43|44)45;EOF-10,5:{1-20}34;0(>>2#hb1#>0)\n"),
    (0, "T;Engine:51-255,Target:0;(0=1)&(1,2>1);41{-5}45*4c;(B)616263(W);!(41|42)4344\n"),
    (1, "T:0:*:41424344{2-4}4748*4c4d\nU:0:0,20:43[2-5]464748\nV:7:*:(61|62|63)646566\n"),
    (2, "T:*:*:^A.*:10:20:0:1:*:*:\n"),
    (3, "1:*:4142??44:T:CL_TYPE_ANY:CL_TYPE_ZIPSFX\n"),
    (4, "44d88612fea8a8f36de82e1278abb02f:62:Test.F\n"),
    (5, "T=41424344*4c4d4e\n"),
];

/// A note, a proof, a request to a witness, a statement, a policy on witnesses, a key, a pattern.
const TRUST: &[&str] = &[
    "log.example/holdfast\n1\nfw1a6sA/ThNlYpCXvxVAaSSWTGLMdFQ0ckzKYbpYHbg=\n\n— log.example/holdfast AAAAAAE=\n",
    "c2sp.org/tlog-proof@v1\nextra AAEC\nindex 0\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\nlog.example/holdfast\n1\nfw1a6sA/ThNlYpCXvxVAaSSWTGLMdFQ0ckzKYbpYHbg=\n\n— log.example/holdfast AAAAAAE=\n",
    "old 1\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\nlog.example/holdfast\n1\nfw1a6sA/ThNlYpCXvxVAaSSWTGLMdFQ0ckzKYbpYHbg=\n\n— log.example/holdfast AAAAAAE=\n",
    "holdfast-attestation/1\nset daily\nrelease 1\nmanifest sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\npack sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb daily.pack\nsource sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc daily.cvd\nbuilder holdfast 0.1.0\ntime 2026-11-30T20:00:00Z\n",
    "log log.example/holdfast+824c695e+AYE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU\nwitness a witness.example/w1+aa4a09d1+BOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs\ngroup g any a\nquorum g\n",
    "alice.example/holdfast+e0ef8f6a+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c",
    "a/*[!x-z]?\na/bcd",
];

/// Metadata of the four roles.
const TUF: &[(u8, &str)] = &[
    (
        0,
        "{\"signatures\":[{\"keyid\":\"k\",\"sig\":\"00\"}],\"signed\":{\"spec_version\":\"1.0.34\",\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\",\"_type\":\"root\",\"consistent_snapshot\":true,\"keys\":{\"k\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"}}},\"roles\":{\"root\":{\"keyids\":[\"k\"],\"threshold\":1},\"timestamp\":{\"keyids\":[\"k\"],\"threshold\":1},\"snapshot\":{\"keyids\":[\"k\"],\"threshold\":1},\"targets\":{\"keyids\":[\"k\"],\"threshold\":1}}}}",
    ),
    (
        1,
        "{\"signatures\":[{\"keyid\":\"k\",\"sig\":\"00\"}],\"signed\":{\"spec_version\":\"1.0.34\",\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\",\"_type\":\"timestamp\",\"meta\":{\"snapshot.json\":{\"version\":1,\"length\":2,\"hashes\":{\"sha256\":\"00\"}}}}}",
    ),
    (
        2,
        "{\"signatures\":[{\"keyid\":\"k\",\"sig\":\"00\"}],\"signed\":{\"spec_version\":\"1.0.34\",\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\",\"_type\":\"snapshot\",\"meta\":{\"targets.json\":{\"version\":1}}}}",
    ),
    (
        3,
        "{\"signatures\":[{\"keyid\":\"k\",\"sig\":\"00\"}],\"signed\":{\"spec_version\":\"1.0.34\",\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\",\"_type\":\"targets\",\"targets\":{\"a/b\":{\"length\":1,\"hashes\":{\"sha256\":\"00\"},\"custom\":{\"x\":[1,null]}}},\"delegations\":{\"keys\":{\"k\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"}}},\"roles\":[{\"keyids\":[\"k\"],\"threshold\":1,\"name\":\"A\",\"terminating\":true,\"paths\":[\"*\",\"a/[!b]?\"]},{\"keyids\":[\"k\"],\"threshold\":1,\"name\":\"B\",\"terminating\":false,\"path_hash_prefixes\":[\"0f\"],\"x-thresholds\":{\"ml-dsa\":1}}]}}}",
    ),
];

/// A bundle of proofs, and a state.
const BUNDLES: &[&str] = &[
    "{\"format\":\"holdfast-proofs/1\",\"attestations\":[{\"note\":\"holdfast-attestation/1\\nset daily\\nrelease 1\\nmanifest sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\npack sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb daily.pack\\nsource sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc daily.cvd\\nbuilder holdfast 0.1.0\\ntime 2026-11-30T20:00:00Z\\n\\n— alice.example/holdfast AAAAAAE=\\n\",\"proofs\":[\"c2sp.org/tlog-proof@v1\\nextra AAEC\\nindex 0\\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\\n\\nlog.example/holdfast\\n1\\nfw1a6sA/ThNlYpCXvxVAaSSWTGLMdFQ0ckzKYbpYHbg=\\n\\n— log.example/holdfast AAAAAAE=\\n\"]}],\"consistency\":[{\"log\":\"log.example/holdfast\",\"from\":1,\"to\":2,\"hashes\":[\"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\"]}]}",
    "{\"format\":\"holdfast-trust-state/1\",\"sets\":{\"daily\":{\"release\":1,\"manifest\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"logs\":{\"l\":3}}},\"logs\":{\"l\":{\"size\":3,\"root\":\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"}},\"latest\":\"2026-11-30T20:00:00Z\"}",
];

/// A manifest with one source and no pack.
const CHANNEL_MANIFEST: &str = r#"{"format":"holdfast-manifest/1","set":"main","release":1,"created":"2026-12-01T00:00:00Z","previous":null,"sources":[{"id":"own","title":"Own","author":"A","licence":"MIT","url":"","fetched":"2026-12-01T00:00:00Z","files":[]}],"packs":[],"changes":null}"#;
const CHANNEL_CHANGES: &str = "{\"kind\":\"removed\",\"source\":\"own\",\"file\":\"a.ndb\",\"name\":\"X\",\"reason\":\"r\",\"line\":\"X:0:*:6162\"}\n";
