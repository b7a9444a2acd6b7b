//! Scripts that patch databases: read as a container, and carried out as plain text on small files.
#![no_main]

use hf_update::clamav::Script;
use hf_update::clamav::cdiff::Files;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Script::read(data, None);
    let before = Files::from([
        ("a.ndb".to_owned(), b"one\ntwo\nthree\n".to_vec()),
        ("b.ndb".to_owned(), b"x".to_vec()),
    ]);
    let mut files = before.clone();
    if Script::plain(data).apply(&mut files).is_err() {
        assert!(files == before, "a script that does not fit changes nothing");
    }
    assert!(files.keys().all(|name| !name.contains('/')));
});
