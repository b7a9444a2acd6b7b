//! Logical signatures in words.

use std::fmt::Write as _;

use hf_core::signature::{
    ByteCompare, ByteEncoding, Compare, CompareOp, Expr, LogicalSig, PcreFlags, Sub, TargetDesc,
};

use super::{escaped, pattern, type_words};

/// Writes conditions and sub-signatures.
pub(super) fn say(text: &mut String, sig: &LogicalSig) {
    conditions(text, &sig.tdb);
    let _ = writeln!(text, "  matches when {}", expr_words(&sig.expr));
    for (idx, sub) in sig.subs.iter().enumerate() {
        say_sub(text, idx, sub);
    }
}

fn conditions(text: &mut String, tdb: &TargetDesc) {
    let mut say = |line: String| {
        let _ = writeln!(text, "  {line}");
    };
    for (what, range) in [
        ("object size in bytes", tdb.file_size),
        ("file offset of the entry point", tdb.entry_point),
        ("number of sections", tdb.sections),
    ] {
        if let Some((min, max)) = range {
            say(format!("{what}: {min} to {max}"));
        }
    }
    match tdb.container {
        Some(hf_core::FileType::Any) => say("not inside of a container".to_owned()),
        Some(kind) => say(format!("inside of {}", type_words(kind))),
        None => {}
    }
    if !tdb.intermediates.is_empty() {
        let chain: Vec<String> = tdb.intermediates.iter().copied().map(type_words).collect();
        say(format!("inside of {}", chain.join(" > ")));
    }
    for (column, group) in [("first", &tdb.icon_group1), ("second", &tdb.icon_group2)] {
        if let Some(group) = group {
            say(format!("with an icon of group {} in the {column} column", escaped(group)));
        }
    }
    if let Some(kind) = tdb.handler {
        say(format!("no alert: the object is scanned again as {}", type_words(kind)));
    }
}

fn expr_words(expr: &Expr) -> String {
    match expr {
        Expr::Sub { idx, cmp: None } => idx.to_string(),
        Expr::Sub { idx, cmp: Some(cmp) } => format!("{idx} {}", compare_words(*cmp)),
        Expr::And(left, right) => format!("{} and {}", expr_words(left), expr_words(right)),
        Expr::Or(left, right) => format!("{} or {}", expr_words(left), expr_words(right)),
        Expr::Block { inner, cmp: None } => format!("({})", expr_words(inner)),
        Expr::Block { inner, cmp: Some(cmp) } => {
            format!("({}) {}", expr_words(inner), compare_words(*cmp))
        }
    }
}

fn compare_words(cmp: Compare) -> String {
    let op = match cmp.op {
        CompareOp::Equal => "exactly",
        CompareOp::Less => "less than",
        CompareOp::Greater => "more than",
    };
    let times = if cmp.count == 1 { "time" } else { "times" };
    let distinct =
        cmp.distinct.map_or(String::new(), |n| format!(" by at least {n} different ones"));
    format!("{op} {} {times}{distinct}", cmp.count)
}

fn say_sub(text: &mut String, idx: usize, sub: &Sub) {
    match sub {
        Sub::Macro { min, max, group } => {
            let _ = writeln!(
                text,
                "  {idx}: a macro of group {group}, {min} to {max} bytes behind the start of the one before"
            );
        }
        Sub::Pcre { offset, trigger, pattern, flags } => {
            let pattern = escaped(&String::from_utf8_lossy(pattern));
            let _ = writeln!(
                text,
                "  {idx}: regular expression {pattern}\n     starts {}, tried when {}{}",
                pattern::offset_words(*offset),
                expr_words(trigger),
                flag_words(*flags)
            );
        }
        Sub::ByteCompare(compare) => {
            let _ = writeln!(text, "  {idx}: {}", byte_compare_words(compare));
        }
        Sub::ImageHash(hash) => {
            let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(text, "  {idx}: an image with the perceptual hash {digits}");
        }
        Sub::Body { offset, forms } => {
            let _ = writeln!(text, "  {idx}: pattern, starts {}", pattern::offset_words(*offset));
            for (form, body) in forms.iter().enumerate() {
                if form > 0 {
                    let _ = writeln!(text, "     or");
                }
                pattern::say_body(text, "     ", body);
            }
        }
    }
}

fn flag_words(flags: PcreFlags) -> String {
    [
        (flags.global, "all matches are counted"),
        (flags.rolling, "anywhere behind its offset"),
        (flags.encompass, "only within its range"),
        (flags.caseless, "letters in either case"),
        (flags.dot_all, "`.` matches line ends"),
        (flags.multi_line, "`^` and `$` match at lines"),
        (flags.extended, "white space ignored"),
        (flags.anchored, "anchored"),
        (flags.dollar_end_only, "`$` only at the end"),
        (flags.ungreedy, "lazy"),
    ]
    .into_iter()
    .filter(|(on, _)| *on)
    .fold(String::new(), |words, (_, flag)| words + ", " + flag)
}

fn byte_compare_words(compare: &ByteCompare) -> String {
    let how = match compare.encoding {
        ByteEncoding::HexText => "hexadecimal text",
        ByteEncoding::DecimalText => "decimal text",
        ByteEncoding::AutoText => "decimal or 0x-hexadecimal text",
        ByteEncoding::Binary => "binary number",
    };
    let order = if compare.little_endian { "little endian" } else { "big endian" };
    let exact = if compare.exact { ", digits only" } else { "" };
    let wanted: Vec<String> = compare
        .compares
        .iter()
        .map(|(op, value)| {
            let op = match op {
                CompareOp::Equal => "=",
                CompareOp::Less => "<",
                CompareOp::Greater => ">",
            };
            format!("{op} {value}")
        })
        .collect();
    format!(
        "{} bytes at {:+} from the last match of {} are, as {how} ({order}{exact}), {}",
        compare.len,
        compare.offset,
        compare.reference,
        wanted.join(" and ")
    )
}
