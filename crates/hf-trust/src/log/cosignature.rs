//! What a cosignature is over (C2SP `tlog-cosignature`); for those who verify and those who sign.

use super::checkpoint::Checkpoint;
use crate::time::Time;

/// Returns the message of an Ed25519 cosignature: header, time, and the whole text of the checkpoint.
#[must_use]
pub fn ed25519_message(time: Time, checkpoint_text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {}\n{checkpoint_text}", time.unix()).into_bytes()
}

/// Returns the message of an ML-DSA-44 cosignature on a checkpoint; its extension lines are not in it.
///
/// Returns nothing when a name is empty or longer than 255 bytes, or the time is before 1970.
#[must_use]
pub fn ml_dsa_44_message(cosigner: &str, time: Time, checkpoint: &Checkpoint) -> Option<Vec<u8>> {
    let mut message = b"subtree/v1\n\0".to_vec();
    put_name(&mut message, cosigner)?;
    message.extend_from_slice(&u64::try_from(time.unix()).ok()?.to_be_bytes());
    put_name(&mut message, &checkpoint.origin)?;
    message.extend_from_slice(&0_u64.to_be_bytes());
    message.extend_from_slice(&checkpoint.size.to_be_bytes());
    message.extend_from_slice(&checkpoint.root);
    Some(message)
}

fn put_name(message: &mut Vec<u8>, name: &str) -> Option<()> {
    let len = u8::try_from(name.len()).ok().filter(|len| *len > 0)?;
    message.push(len);
    message.extend_from_slice(name.as_bytes());
    Some(())
}

/// Returns the bytes of a signature line for a signature made at a time: time, then signature.
///
/// Returns nothing when the time is before 1970.
#[must_use]
pub fn timestamped(time: Time, signature: &[u8]) -> Option<Vec<u8>> {
    let seconds = u64::try_from(time.unix()).ok()?;
    Some([seconds.to_be_bytes().as_slice(), signature].concat())
}

/// Splits the bytes of a signature line into time and signature.
#[must_use]
pub fn split_timestamped(bytes: &[u8]) -> Option<(Time, &[u8])> {
    let (seconds, signature) = bytes.split_first_chunk::<8>()?;
    let seconds = i64::try_from(u64::from_be_bytes(*seconds)).ok()?;
    let time = Time::from_unix(seconds);
    // A time that does not fit the calendar would be signed as another number.
    (time.unix() == seconds).then_some((time, signature))
}
