//! Milter: packets, and a conversation of whatever commands come out of them.
#![no_main]

use hf_daemon::milter::conversation::{Conversation, Turn};
use hf_daemon::milter::packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut conversation = Conversation::new(4096);
    let (mut at, mut message) = (0, Vec::new());
    // A negotiation first, so that most inputs come further.
    let offer = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff";
    let all = [offer.as_slice(), bytes].concat();
    while let Ok(Some((command, used))) = packet::take(&all[at..]) {
        assert!(used > 0);
        at += used;
        match conversation.take(command, &mut message) {
            Turn::Close(_) => return,
            Turn::Judge => {
                message.clear();
                conversation.answered();
            }
            Turn::Silent => {}
            Turn::Reply(reply) => reply.put(&mut Vec::new()),
        }
    }
});
