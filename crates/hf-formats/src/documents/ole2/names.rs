//! Names of streams in installer packages (MSI), which pack two characters into one code unit.
//!
//! Sources: [1] the encoding as documented by the Wine and msitools projects.

const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._";

/// Decodes an encoded name; none when it is not encoded.
pub(crate) fn decode(units: &[u16]) -> Option<String> {
    let mut name = String::new();
    let mut encoded = false;
    for unit in units {
        match unit {
            0x3800..=0x47ff => {
                let pair = unit.checked_sub(0x3800)?;
                name.push(letter(pair & 0x3f)?);
                name.push(letter(pair.checked_shr(6)?)?);
                encoded = true;
            }
            0x4800..=0x483f => {
                name.push(letter(unit.checked_sub(0x4800)?)?);
                encoded = true;
            }
            0x4840 => {
                name.push('!');
                encoded = true;
            }
            0x01..=0x7f => name.push(char::from_u32(u32::from(*unit))?),
            _ => return None,
        }
    }
    encoded.then_some(name)
}

fn letter(idx: u16) -> Option<char> {
    ALPHABET.get(usize::from(idx)).copied().map(char::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_and_stream_names() {
        let units = [0x4840, 0x3f3f, 0x4577, 0x446c, 0x3b6a, 0x45e4, 0x4824];
        assert_eq!(decode(&units).as_deref(), Some("!_StringData"));
        assert_eq!(decode(&[0x57, 0x6f]), None);
        assert_eq!(decode(&[0x3800, 0x4f60]), None);
    }
}
