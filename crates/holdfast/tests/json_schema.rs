//! `docs/json.md` and what the program prints agree: every line fits the schema, every key of the schema
//! is printed somewhere, and the tables have the schema's keys.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up is to fail")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md");
    fs::read_to_string(path).expect("docs/json.md is there")
}

fn schema(page: &str) -> Value {
    let block = page.split("```json").nth(1).and_then(|rest| rest.split("```").next());
    serde_json::from_str(block.expect("a block of JSON")).expect("the schema is JSON")
}

/// Runs the program; returns its lines. `code` is the exit code to expect.
#[track_caller]
fn lines(folder: &Path, args: &[impl AsRef<OsStr> + std::fmt::Debug], code: i32) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(args)
        .env("HOLDFAST_CACHE", folder.join("cache"))
        .current_dir(folder)
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Runs the program with something to find on standard input.
fn from_a_pipe(folder: &Path, args: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(args)
        .stdin(fs::File::open(folder.join("tree/marked.txt")).unwrap())
        .current_dir(folder)
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// A zip archive of stored members. Encrypted ones are only marked so; with a checksum that does not fit,
/// because else the mark is found out.
fn zip(members: &[(&[u8], &[u8])], encrypted: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let off = u32::try_from(file.len()).unwrap();
        let mut fields = vec![20, 0, u8::from(encrypted), 0, 0, 0, 0, 0, 0x21, 0x28];
        fields.extend((crc32(data) ^ u32::from(encrypted)).to_le_bytes());
        let len = u32::try_from(data.len()).unwrap();
        fields.extend([len.to_le_bytes(), len.to_le_bytes()].concat());
        fields.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
        file.extend([b"PK\x03\x04".as_slice(), &fields, name, data].concat());
        directory.extend([b"PK\x01\x02\x14\x00".as_slice(), &fields].concat());
        directory.extend([0; 10]);
        directory.extend([&off.to_le_bytes(), *name].concat());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let off = u32::try_from(file.len()).unwrap().to_le_bytes();
    let len = u32::try_from(directory.len()).unwrap().to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &len, &off, &[0, 0]].concat();
    [file, directory, end].concat()
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

/// Makes files for which, together, every key is printed.
fn fill(folder: &Path) {
    let write = |name: &str, data: &[u8]| fs::write(folder.join(name), data).unwrap();
    fs::create_dir(folder.join("tree")).unwrap();
    write("rules.ndb", b"Test.Json:0:*:6d61726b65642062797465\n");
    // MD5 and length of `trusted marked byte`, by which the content trusts it.
    write("rules.fp", b"34f37a50c65005c78abd6f3b7c55750e:19:Test.Trusted\n");
    write("tree/marked.txt", b"some marked byte here");
    write("tree/trusted.txt", b"trusted marked byte");
    write("tree/clean.txt", b"nothing here");
    write("tree/empty", b"");
    write("tree/members.zip", &zip(&[(b"in\xff.txt", b"a marked byte in a member")], false));
    let names: Vec<String> = (0..300).map(|n| format!("{n}.txt")).collect();
    let many: Vec<(&[u8], &[u8])> =
        names.iter().map(|name| (name.as_bytes(), b"0123456789abcdef".as_slice())).collect();
    write("tree/encrypted.zip", &zip(&many, true));
    let mut cpio = b"070701".repeat(30);
    cpio.extend(b"garbage");
    write("tree/broken.cpio", &cpio);
    // More defects than one line tells.
    let members: Vec<Vec<u8>> =
        names.iter().map(|name| [&cpio, name.as_bytes()].concat()).collect();
    let broken: Vec<(&[u8], &[u8])> =
        names.iter().zip(&members).map(|(name, data)| (name.as_bytes(), &data[..])).collect();
    write("tree/broken.zip", &zip(&broken, false));
    fs::write(folder.join("tree").join(OsStr::from_bytes(b"name\xff")), b"nothing").unwrap();
    std::os::unix::fs::symlink("clean.txt", folder.join("tree/link")).unwrap();
    std::os::unix::fs::symlink("x", folder.join("tree").join(OsStr::from_bytes(b"link\xff")))
        .unwrap();
}

/// Returns lines in which, together, every key is.
fn printed(folder: &Path) -> Vec<Value> {
    let content = ["-d", "rules.ndb", "-d", "rules.fp"];
    let mut all = lines(
        folder,
        &[&["scan", "--json", "--contents", "tree", "absent"], &content[..]].concat(),
        1,
    );
    let absent = OsStr::from_bytes(b"absent\xff");
    fs::write(folder.join("list"), absent.as_bytes()).unwrap();
    all.extend(lines(folder, &["scan", "--json", "-d", "rules.ndb", "-f", "list"], 2));
    // Too little memory to read the file: the worker dies, and the report says so.
    fs::write(folder.join("large.html"), vec![b'<'; 12 << 20]).unwrap();
    let small = ["--worker-memory", "1M", "-d", "rules.ndb"];
    all.extend(lines(folder, &[&["scan", "--json", "large.html"], &small[..]].concat(), 2));
    // Taken, and then something that cannot be taken.
    fs::write(folder.join("taken.txt"), b"a marked byte to take").unwrap();
    let take = ["--action", "quarantine", "--vault", "vault", "-d", "rules.ndb"];
    all.extend(lines(folder, &[&["scan", "--json", "taken.txt"], &take[..]].concat(), 1));
    assert!(!folder.join("taken.txt").exists());
    all.extend(from_a_pipe(folder, &[&["scan", "--json", "-"], &take[..]].concat()));
    let mut inspect = vec![OsStr::new("inspect"), OsStr::new("--json")];
    inspect.extend(content.iter().map(OsStr::new));
    // The last is a folder, which a worker refuses to read.
    let files = ["marked.txt", "members.zip", "encrypted.zip", "broken.cpio", "."];
    let files: Vec<String> = files.iter().map(|name| format!("tree/{name}")).collect();
    inspect.extend(files.iter().map(OsStr::new));
    inspect.push(OsStr::from_bytes(b"tree/name\xff"));
    all.extend(lines(folder, &inspect, 1));
    all
}

/// Holds a value against a part of the schema; `seen` collects `definition.key`.
struct Check<'a> {
    schema: &'a Value,
    seen: BTreeSet<String>,
}

impl Check<'_> {
    fn value(&mut self, rule: &Value, definition: &str, value: &Value) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("{definition}: {why}: {value}"));
        if let Some(name) = rule["$ref"].as_str().and_then(|text| text.strip_prefix("#/$defs/")) {
            let rule = self.schema["$defs"][name].clone();
            assert!(rule.is_object(), "the schema defines {name}");
            return self.value(&rule, name, value);
        }
        if rule.get("const").is_some_and(|wanted| wanted != value) {
            return wrong("another constant");
        }
        if rule["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
            return wrong("a value that is not listed");
        }
        let kinds: Vec<&str> = match &rule["type"] {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.as_str().into_iter().collect(),
        };
        if !kinds.is_empty() && !kinds.iter().any(|kind| is(kind, value)) {
            return wrong("another type");
        }
        let hexadecimal = |text: &str| {
            text.len().is_multiple_of(2) && text.bytes().all(|b| b"0123456789abcdef".contains(&b))
        };
        if rule.get("pattern").is_some() && !value.as_str().is_some_and(hexadecimal) {
            return wrong("no hexadecimal digits");
        }
        self.array(rule, definition, value)?;
        self.object(rule, definition, value)
    }

    fn array(&mut self, rule: &Value, definition: &str, value: &Value) -> Result<(), String> {
        let Some(items) = value.as_array() else { return Ok(()) };
        let len = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let least = rule["minItems"].as_u64().unwrap_or(0);
        let most = rule["maxItems"].as_u64().unwrap_or(u64::MAX);
        if !(least..=most).contains(&len) {
            return Err(format!("{definition}: {len} items"));
        }
        items.iter().try_for_each(|item| self.value(&rule["items"], definition, item))
    }

    fn object(&mut self, rule: &Value, definition: &str, value: &Value) -> Result<(), String> {
        let Some(fields) = value.as_object() else { return Ok(()) };
        for key in rule["required"].as_array().into_iter().flatten() {
            let key = key.as_str().unwrap_or_default();
            fields.get(key).ok_or_else(|| format!("{definition}: {key} is missing"))?;
        }
        for (key, value) in fields {
            let rule = rule["properties"].get(key);
            let rule = rule.ok_or_else(|| format!("{definition}: {key} is not documented"))?;
            self.seen.insert(format!("{definition}.{key}"));
            self.value(rule, definition, value)?;
        }
        Ok(())
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("the schema has an unknown type {kind}"),
    }
}

/// Returns `definition.key` for every property of the schema.
fn documented(schema: &Value) -> BTreeSet<String> {
    let definitions = schema["$defs"].as_object().expect("definitions");
    definitions
        .iter()
        .flat_map(|(name, rule)| {
            let keys = rule["properties"].as_object().into_iter().flatten();
            keys.map(move |(key, _)| format!("{name}.{key}"))
        })
        .collect()
}

#[test]
fn lines_fit_the_schema_and_use_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let schema = schema(&page());
    let mut check = Check { schema: &schema, seen: BTreeSet::new() };
    for line in printed(folder.path()) {
        let name = line["type"].as_str().expect("a type").to_owned();
        assert!(schema["$defs"][&name].is_object(), "{name} is a line of the schema");
        let rule = schema["$defs"][&name].clone();
        check.value(&rule, &name, &line).unwrap_or_else(|why| panic!("{why}\n{line}"));
    }
    assert_eq!(check.seen, documented(&schema));
}

#[test]
fn tables_have_the_keys_of_the_schema() {
    let page = page();
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            section = title.to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let key = row.split('`').next().unwrap_or_default();
            assert!(keys.insert(format!("{section}.{key}")), "{section}.{key} is there twice");
        }
    }
    assert_eq!(keys, documented(&schema(&page)));
}
