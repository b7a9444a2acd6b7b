//! Forms with files, cut anywhere: the same parts and data come out.
#![no_main]

use hf_daemon::http::multipart::{BadMultipart, Event, Multipart};
use libfuzzer_sys::fuzz_target;

fn run(body: &[u8], piece: usize) -> Result<Vec<Event>, BadMultipart> {
    let multipart = Multipart::of_content_type("multipart/form-data; boundary=b")?;
    let mut multipart = multipart.expect("a form");
    let mut events = Vec::new();
    for part in body.chunks(piece) {
        multipart.push(part, &mut events)?;
    }
    multipart.finish()?;
    let mut joined: Vec<Event> = Vec::new();
    for event in events {
        match (joined.last_mut(), event) {
            (Some(Event::Data(all)), Event::Data(more)) => all.extend(more),
            (_, event) => joined.push(event),
        }
    }
    Ok(joined)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, body) = (usize::from(input.0).max(1), input.1);
    if let (Ok(pieces), Ok(once)) = (run(body, piece), run(body, usize::MAX)) {
        assert_eq!(pieces, once);
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = Multipart::of_content_type(text);
    }
});
