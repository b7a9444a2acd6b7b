//! Events of MISP, as they stand in its feeds: `manifest.json` and one `UUID.json` for each event.
//!
//! Only attributes that are meant for detection (`to_ids`) count.
//! Source: MISP's published core format.

use serde::Deserialize;

use super::list::{Indicator, Indicators};

#[derive(Deserialize)]
struct File {
    #[serde(rename = "Event")]
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    info: String,
    #[serde(default, rename = "Attribute")]
    attributes: Vec<Attribute>,
    #[serde(default, rename = "Object")]
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default, rename = "Attribute")]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    to_ids: bool,
    #[serde(default)]
    deleted: bool,
}

/// Returns the events that a feed's manifest lists; none for a file that is no manifest.
pub(super) fn events(bytes: &[u8]) -> Option<Vec<String>> {
    let table: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes).ok()?;
    let uuid =
        |key: &String| key.len() == 36 && key.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (!table.is_empty() && table.keys().all(uuid)).then(|| table.keys().cloned().collect())
}

/// Reads one event.
///
/// # Errors
/// It is not one.
pub fn indicators(bytes: &[u8]) -> Result<Indicators, String> {
    let file: File =
        serde_json::from_slice(bytes).map_err(|err| format!("not an event of MISP: {err}"))?;
    let mut list = Indicators::default();
    let of_objects = file.event.objects.iter().flat_map(|object| &object.attributes);
    for attribute in file.event.attributes.iter().chain(of_objects) {
        if !attribute.to_ids || attribute.deleted {
            list.leave_out("not meant for detection");
            continue;
        }
        // `filename|sha256` and its like: the name is no proof, the hash is.
        let (kind, value) = match (attribute.kind.split_once('|'), attribute.value.rsplit_once('|'))
        {
            (Some((_, kind)), Some((_, value))) => (kind, value),
            _ => (attribute.kind.as_str(), attribute.value.as_str()),
        };
        let indicator = match kind {
            "md5" | "sha1" | "sha256" => Indicator::hash(value),
            "url" | "uri" | "link" => Indicator::url(value),
            _ => None,
        };
        match indicator {
            Some(indicator) => list.push(indicator, &file.event.info),
            None => list.leave_out(&attribute.kind),
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_feeds() {
        let text = format!(
            r#"{{"Event": {{"info": "Op", "Attribute": [
                {{"type": "filename|md5", "value": "x|{}", "to_ids": true}},
                {{"type": "domain", "value": "evil.example", "to_ids": true}},
                {{"type": "sha1", "value": "{}", "to_ids": false}}],
              "Object": [{{"Attribute": [{{"type": "url", "value": "http://evil.example/", "to_ids": true}}]}}]}}}}"#,
            "a".repeat(32),
            "b".repeat(40)
        );
        let list = indicators(text.as_bytes()).unwrap();
        assert_eq!(list.found.len(), 2);
        assert_eq!(list.left_out.keys().collect::<Vec<_>>(), ["domain", "not meant for detection"]);
        assert!(indicators(b"{}").is_err());
        let manifest = br#"{"5f3a0000-0000-0000-0000-000000000000": {"info": "x"}}"#;
        assert_eq!(events(manifest).unwrap().len(), 1);
        assert_eq!(events(text.as_bytes()), None);
    }
}
