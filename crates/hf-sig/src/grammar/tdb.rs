//! The target description of logical signatures and passwords: `Key:Value,…`.
//!
//! Sources: ClamAV's documentation of logical signatures; clamscan 1.4.6: of repeated keys the last counts; an
//! unknown key or type, an engine level out of range or a target above 14 leaves the signature out in silence.
//!
//! Off-spec: bounds above 4 GiB are cut to 4 GiB; clamscan takes their lower 32 bits.

use hf_core::{FileType, Target, signature::TargetDesc};

use crate::{
    diagnostic::{Fault, codes},
    text::Text,
};

/// First level that knows keys other than Engine and Target.
const KEYS_LEVEL: u32 = 51;

/// Reads a target description; none when the signature is not for this engine.
///
/// `default_target` stands in where a language does not ask for one.
pub(crate) fn parse(
    text: Text<'_>,
    flevel: u32,
    default_target: Option<Target>,
) -> Result<Option<TargetDesc>, Fault> {
    let mut draft = Draft::default();
    for (idx, attribute) in text.split(b',').into_iter().enumerate() {
        let Some((key, value)) = attribute.split_once(b':') else {
            let reason = format!("`{}` has not the form `Key:Value`", attribute.lossy());
            return Err(attribute.fault(&codes::TDB, reason));
        };
        if !draft.attribute(idx, key, value, flevel)? {
            return Ok(None);
        }
    }
    draft.finish(text, default_target)
}

#[derive(Default)]
struct Draft<'a> {
    engine_min: Option<u32>,
    target: Option<u32>,
    /// First key that needs an engine level.
    newer: Option<Text<'a>>,
    /// First key that is for executables.
    executables: Option<Text<'a>>,
    /// First key that is for PE.
    pe: Option<Text<'a>>,
    file_size: Option<(u32, u32)>,
    entry_point: Option<(u32, u32)>,
    sections: Option<(u32, u32)>,
    container: Option<FileType>,
    intermediates: Vec<FileType>,
    icon_group1: Option<String>,
    icon_group2: Option<String>,
    handler: Option<FileType>,
}

impl<'a> Draft<'a> {
    /// Takes one attribute; false when it leaves the signature out.
    fn attribute(
        &mut self,
        idx: usize,
        key: Text<'a>,
        value: Text<'a>,
        flevel: u32,
    ) -> Result<bool, Fault> {
        if !key.is(b"Engine") && !key.is(b"Target") {
            self.newer.get_or_insert(key);
        }
        match key.bytes() {
            b"Engine" => {
                if idx != 0 {
                    return Err(
                        key.fault(&codes::ENGINE_FIRST, "Engine must be the first attribute")
                    );
                }
                let (min, max) = range(value)?;
                self.engine_min = Some(min);
                return Ok((min..=max).contains(&flevel));
            }
            b"Target" => {
                let target = value.number_saturating()?;
                self.target = Some(target);
                return Ok(target < u32::from(Target::COUNT));
            }
            b"FileSize" => self.file_size = Some(range(value)?),
            b"EntryPoint" => {
                self.entry_point = Some(range(value)?);
                self.executables.get_or_insert(key);
            }
            b"NumberOfSections" => {
                self.sections = Some(range(value)?);
                self.executables.get_or_insert(key);
            }
            b"Container" => return Ok(set(&mut self.container, file_type(value))),
            b"HandlerType" => return Ok(set(&mut self.handler, file_type(value))),
            b"Intermediates" => {
                let types: Option<Vec<FileType>> =
                    value.split(b'>').into_iter().map(file_type).collect();
                let Some(types) = types else { return Ok(false) };
                self.intermediates = types;
            }
            b"IconGroup1" => {
                self.icon_group1 = Some(value.lossy().into_owned());
                self.pe.get_or_insert(key);
            }
            b"IconGroup2" => {
                self.icon_group2 = Some(value.lossy().into_owned());
                self.pe.get_or_insert(key);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(
        self,
        text: Text<'_>,
        default_target: Option<Target>,
    ) -> Result<Option<TargetDesc>, Fault> {
        if let Some(key) = self.newer
            && self.engine_min.is_none_or(|min| min < KEYS_LEVEL)
        {
            let reason = format!("{} needs an Engine level of at least {KEYS_LEVEL}", key.lossy());
            return Err(key.fault(&codes::ENGINE_LEVEL, reason));
        }
        let written = self.target.and_then(|target| u8::try_from(target).ok()).map(Target);
        let Some(target) = written.or(default_target) else {
            return Err(text.fault(&codes::TARGET_MISSING, "the description names no target"));
        };
        if let Some(key) = self.executables
            && !target.is_executable()
        {
            let reason = format!("{} is for executables, the target is {}", key.lossy(), target.0);
            return Err(key.fault(&codes::TDB_TARGET, reason));
        }
        if let Some(key) = self.pe
            && target != Target::PE
        {
            let reason = format!("{} is for target 1, the target is {}", key.lossy(), target.0);
            return Err(key.fault(&codes::TDB_TARGET, reason));
        }
        Ok(Some(TargetDesc {
            target,
            file_size: self.file_size,
            entry_point: self.entry_point,
            sections: self.sections,
            container: self.container,
            intermediates: self.intermediates,
            icon_group1: self.icon_group1,
            icon_group2: self.icon_group2,
            handler: self.handler,
        }))
    }
}

/// Sets a slot; false when there is nothing to set it to.
fn set(slot: &mut Option<FileType>, value: Option<FileType>) -> bool {
    *slot = value;
    value.is_some()
}

fn file_type(text: Text<'_>) -> Option<FileType> {
    std::str::from_utf8(text.bytes()).ok().and_then(FileType::from_clamav_name)
}

fn range(text: Text<'_>) -> Result<(u32, u32), Fault> {
    let Some((min, max)) = text.split_once(b'-') else {
        let reason = format!("`{}` has not the form `min-max`", text.lossy());
        return Err(text.fault(&codes::TDB, reason));
    };
    Ok((min.number_saturating()?, max.number_saturating()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<TargetDesc>, Fault> {
        parse(Text::line(text.as_bytes()), 216, None)
    }

    #[track_caller]
    fn bad(text: &str, code: &str) {
        let got = read(text).unwrap_err();
        assert_eq!(got.code.id, code, "{text}: {}", got.reason);
    }

    #[test]
    fn attributes() {
        let tdb = read(
            "Engine:51-255,Target:1,FileSize:1-99999999999,EntryPoint:-5,NumberOfSections:2-2,\
             Container:CL_TYPE_ZIP,Intermediates:CL_TYPE_ZIP>CL_TYPE_ANY,IconGroup1:A,\
             IconGroup2:*,HandlerType:CL_TYPE_PDF",
        );
        let want = TargetDesc {
            target: Target::PE,
            file_size: Some((1, u32::MAX)),
            entry_point: Some((0, 5)),
            sections: Some((2, 2)),
            container: Some(FileType::Zip),
            intermediates: vec![FileType::Zip, FileType::Any],
            icon_group1: Some("A".to_owned()),
            icon_group2: Some("*".to_owned()),
            handler: Some(FileType::Pdf),
        };
        assert_eq!(tdb, Ok(Some(want)));
        assert_eq!(read("Target:1,Target:0").unwrap().unwrap().target, Target::ANY);
        assert_eq!(read("Target:").unwrap().unwrap().target, Target::ANY);
    }

    #[test]
    fn left_out() {
        for text in [
            "Engine:217-255,Target:0",
            "Engine:51-215,Target:0",
            "Engine:51-,Target:0",
            "Engine:51-255,Target:15",
            "Engine:51-255,Target:0,Foo:1",
            "engine:51-255,Target:0",
            "Engine:51-255,Target:0,Container:CL_TYPE_FOO",
            "Engine:51-255,Target:0,Container:CL_TYPE_LZMA",
            "Engine:51-255,Target:0,Container:",
            "Engine:51-255,Target:0,HandlerType:ZIP",
            "Engine:51-255,Target:0,Intermediates:CL_TYPE_ZIP>",
        ] {
            assert_eq!(read(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn mistakes() {
        bad("", "HF0301");
        bad("Engine:51-255,Target:0,Foo", "HF0301");
        bad("Engine:51,Target:0", "HF0301");
        bad("Engine:51-255,Target:0,FileSize:5", "HF0301");
        bad("Engine:x-255,Target:0", "HF0103");
        bad("Engine:51-255,Target:-1", "HF0103");
        bad("Target:0,Engine:51-255", "HF0302");
        bad("Target:0,FileSize:1-2", "HF0303");
        bad("Engine:50-255,Target:0,FileSize:1-2", "HF0303");
        bad("Engine:51-255", "HF0304");
        bad("Engine:51-255,Target:0,EntryPoint:5-6", "HF0305");
        bad("Engine:51-255,Target:6,IconGroup1:X", "HF0305");
    }
}
