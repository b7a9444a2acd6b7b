//! JSON as signed metadata needs it: read strictly, written canonically.
//!
//! Reading: UTF-8, at most 127 levels deep, numbers are whole and fit 64 bits (canonical JSON has no
//! others), and **a name given twice in an object is refused**: two readers could believe two things.
//! Writing: OLPC canonical JSON, as TUF signs it: no white space, names sorted by code point, `\` and
//! `"` escaped and nothing else.
//! Leaves out: bounding the input's length, which is the caller's.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The members of an object, sorted by name.
pub type Members = BTreeMap<String, Json>;

/// A JSON value without fractions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A string.
    Str(String),
    /// An array.
    Array(Vec<Json>),
    /// An object; names are unique.
    Object(Members),
}

/// Bytes are not JSON, or not JSON that can be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid JSON: {0}")]
pub struct JsonError(String);

impl Json {
    /// Reads one JSON value; nothing but white space may follow.
    ///
    /// # Errors
    ///
    /// Says what is wrong, with line and column.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        serde_json::from_slice(bytes).map_err(|error| JsonError(error.to_string()))
    }

    /// Returns the canonical encoding, over which signatures are made.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut text = String::new();
        write_canonical(self, &mut text);
        text.into_bytes()
    }

    /// Returns an encoding that any JSON reader understands: canonical but for control characters,
    /// which are escaped. This is what a file holds.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        let mut text = String::new();
        write_any(self, &mut text, &write_file_string);
        text.push('\n');
        text.into_bytes()
    }

    /// Makes an object of names and values; the last of equal names stays.
    #[must_use]
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Makes a string.
    #[must_use]
    pub fn str(text: impl Into<String>) -> Self {
        Self::Str(text.into())
    }

    /// Makes an array of strings.
    #[must_use]
    pub fn strings<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Array(texts.into_iter().map(|text| Self::Str(text.into())).collect())
    }

    /// Makes a number; what is past 2^63 - 1 becomes that.
    #[must_use]
    pub fn uint(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// Returns the text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// Returns a number that is not negative.
    #[must_use]
    pub fn as_uint(&self) -> Option<u64> {
        if let Self::Int(number) = self { u64::try_from(*number).ok() } else { None }
    }

    /// Returns a truth value.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// Returns the items of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Json]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// Returns the members of an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&Members> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// Returns the member of an object with a name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Json> {
        self.as_object()?.get(name)
    }
}

fn write_canonical(value: &Json, out: &mut String) {
    write_any(value, out, &write_canonical_string);
}

/// Recursion is bounded by what was read: at most 127 levels.
fn write_any(value: &Json, out: &mut String, string: &dyn Fn(&str, &mut String)) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Json::Int(number) => out.push_str(&number.to_string()),
        Json::Str(text) => string(text, out),
        Json::Array(items) => {
            out.push('[');
            for (idx, item) in items.iter().enumerate() {
                if idx > 0 {
                    out.push(',');
                }
                write_any(item, out, string);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (idx, (name, item)) in members.iter().enumerate() {
                if idx > 0 {
                    out.push(',');
                }
                string(name, out);
                out.push(':');
                write_any(item, out, string);
            }
            out.push('}');
        }
    }
}

fn write_canonical_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

fn write_file_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without fractions")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Int(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Json, E> {
        let number = i64::try_from(number).map_err(|_| E::custom("a number is past 2^63 - 1"))?;
        Ok(Json::Int(number))
    }

    fn visit_f64<E: serde::de::Error>(self, _number: f64) -> Result<Json, E> {
        Err(E::custom("a number is not whole, or too large"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Str(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Str(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Members::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                let message = format!("the name {name:?} is given twice in one object");
                return Err(serde::de::Error::custom(message));
            }
            let value = access.next_value()?;
            members.insert(name, value);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let value = Json::parse(text.as_bytes()).expect("valid");
        assert_eq!(String::from_utf8(value.canonical()).expect("UTF-8"), want);
        assert_eq!(Json::parse(&value.to_file()), Ok(value));
    }

    #[test]
    fn canonical() {
        check(r#" { "b" : [1, -2, true, null], "a": "x" } "#, r#"{"a":"x","b":[1,-2,true,null]}"#);
        check(r#"{"é":1,"z":2,"Z":3}"#, r#"{"Z":3,"z":2,"é":1}"#);
        check(r#""a\"\\\/\u00e9\n""#, "\"a\\\"\\\\/é\n\"");
        check(r#"{"":{}}"#, r#"{"":{}}"#);
    }

    #[test]
    fn refused() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"x":{"a":1,"\u0061":2}}"#,
            "1.5",
            "1e3",
            "9223372036854775808",
            "[1,]",
            "{} {}",
            "",
            "\"\\ud800\"",
            &deep,
        ] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
    }
}
