//! ICAP: a request's head with what it encapsulates, and bodies in chunks, cut anywhere.
#![no_main]

use hf_daemon::icap::block::{self, Block};
use hf_daemon::icap::chunked::{Chunks, LAST, LINE_MAX, put};
use hf_daemon::icap::request::{HEADS_MAX, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = (usize::from(input.0).max(1), input.1);
    let whole = block::end(bytes, 0);
    if let Some(end) = whole {
        assert!(end <= bytes.len() && bytes[..end].ends_with(b"\n"));
    }
    let head = &bytes[..whole.unwrap_or(bytes.len())];
    let _ = Block::parse(head);
    if let Ok(request) = Request::parse(head) {
        let parts = request.parts;
        assert!(parts.req_head_bytes + parts.res_head_bytes <= HEADS_MAX);
    }
    // The same data and end, whatever the pieces.
    let run = |piece: usize| {
        let (mut chunks, mut out, mut held) = (Chunks::default(), Vec::new(), Vec::new());
        for part in bytes.chunks(piece) {
            held.extend_from_slice(part);
            let step = chunks.read(&held, &mut out)?;
            held.drain(..step.used);
            assert!(held.len() <= LINE_MAX || step.end.is_some());
            if step.end.is_some() {
                return Ok((out, step.end));
            }
        }
        Ok::<_, hf_daemon::icap::chunked::BadChunk>((out, None))
    };
    if let (Ok(pieces), Ok(once)) = (run(piece), run(usize::MAX)) {
        assert_eq!(pieces, once);
    }
    let mut out = Vec::new();
    put(bytes, &mut out);
    out.extend_from_slice(LAST);
    let mut back = Vec::new();
    let step = Chunks::default().read(&out, &mut back).expect("what was written is read");
    assert!(step.end.is_some() && back == bytes);
});
