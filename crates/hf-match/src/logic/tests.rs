use hf_core::signature::{Compare, CompareOp, Expr};

use super::*;

/// Reads an expression written as in a signature, grouping to the right.
fn expr(text: &str) -> Expr {
    let mut rest = text.as_bytes();
    let expr = chain(&mut rest);
    assert!(rest.is_empty(), "{text}");
    expr
}

fn chain(rest: &mut &[u8]) -> Expr {
    let term = term(rest);
    match rest.first() {
        Some(b'&') => {
            *rest = &rest[1..];
            Expr::And(Box::new(term), Box::new(chain(rest)))
        }
        Some(b'|') => {
            *rest = &rest[1..];
            Expr::Or(Box::new(term), Box::new(chain(rest)))
        }
        _ => term,
    }
}

fn term(rest: &mut &[u8]) -> Expr {
    if rest[0] == b'(' {
        *rest = &rest[1..];
        let inner = Box::new(chain(rest));
        *rest = &rest[1..];
        return Expr::Block { inner, cmp: compare(rest) };
    }
    let idx = number(rest) as u8;
    Expr::Sub { idx, cmp: compare(rest) }
}

fn compare(rest: &mut &[u8]) -> Option<Compare> {
    let op = match rest.first()? {
        b'=' => CompareOp::Equal,
        b'<' => CompareOp::Less,
        b'>' => CompareOp::Greater,
        _ => return None,
    };
    *rest = &rest[1..];
    let count = number(rest);
    let distinct = (rest.first() == Some(&b',')).then(|| {
        *rest = &rest[1..];
        number(rest)
    });
    Some(Compare { op, count, distinct })
}

fn number(rest: &mut &[u8]) -> u32 {
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, behind) = rest.split_at(len);
    *rest = behind;
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

#[track_caller]
fn check(text: &str, counts: &[u64], want: bool) {
    let logic = Logic::of(&expr(text)).unwrap();
    assert_eq!(Logic::read(&logic.ops()).as_ref(), Some(&logic), "{text}");
    let outcome = logic.eval(0, &mut |idx, cap| Ok(counts[usize::from(idx)].min(cap)));
    assert_eq!(outcome.unwrap().holds, want, "{text} {counts:?}");
    if logic.required().iter().any(|idx| counts[usize::from(*idx)] == 0) {
        assert!(!want, "{text} {counts:?}: required");
    }
}

/// Each line was checked with clamscan 1.4.6.
#[test]
fn counts_as_clamscan_does() {
    check("0&1|2", &[0, 0, 1], false);
    check("0|1&2", &[1, 0, 0], true);
    check("0=0", &[0], true);
    check("0=0", &[1], false);
    check("0<2", &[0], true);
    check("0<2", &[2], false);
    check("0>1,5", &[2], true);
    check("(0|1)=0", &[0, 0], true);
    check("(0|1)<2", &[1, 0], true);
    check("(0|1)<2", &[1, 1], false);
    check("(0&1)<5", &[1, 0], true);
    check("(0&1)=0", &[1, 0], true);
    check("(0|1)>2,1", &[3, 0], true);
    check("(0|1)>2,2", &[3, 0], false);
    check("(0|1)>2,2", &[2, 1], true);
    check("(0|1)>2,3", &[2, 1], false);
    check("(0|1|2)>0,2", &[1, 1, 0], true);
    check("(0|1|2)=2,2", &[1, 1, 0], true);
    check("(0|1|2)<4,2", &[3, 0, 0], false);
    check("(0|1|2)<4,2", &[0, 0, 0], false);
    check("(0>1|1)>2", &[2, 1], true);
    check("(0>1|1)>0", &[1, 0], false);
    check("(0>1|1)=1", &[1, 1], true);
    check("(0>1|1)=2", &[1, 1], false);
    check("(0=0&1)=1", &[0, 1], true);
    check("(0=0|1)>0", &[0, 1], true);
    check("(0=0|1)=0", &[0, 1], false);
    check("(0=0|1)>0", &[0, 0], false);
    check("(0<5|1)>0", &[0, 1], true);
    check("(0=0|(1|2))>0", &[0, 0, 1], true);
    check("((0|1)>1|2)>2", &[1, 1, 1], true);
    check("((0|1)>1|2)>2,1", &[1, 1, 1], true);
    check("((0|1)>1|2)>2,2", &[1, 1, 1], false);
    check("((0|1)|2)>2,3", &[1, 1, 1], true);
    check("((0|1)&2)>2,3", &[1, 1, 1], true);
    check("((0&1)|2)=1", &[1, 0, 1], true);
    check("((0&1)|2)=2", &[1, 0, 1], false);
    check("(0|0)=2", &[1], true);
    check("(0|0)=1", &[1], false);
    check("(0|1=0)>1", &[2, 0], true);
    check("((0|1)>0&2)>2", &[1, 1, 1], true);
    check("(0<3|1)=3", &[2, 1], true);
    check("(0|1<2)>0,2", &[1, 0], true);
    check("(0|1=1)>0,2", &[1, 0], false);
    check("(0&1=0)>0,2", &[1, 0], true);
    check("(0=0&1=0)=0,2", &[0, 0], true);
    check("(0=0&1=0)=0,3", &[0, 0], false);
    check("(0=0&1=0)>0,1", &[0, 0], false);
    check("(0<2|1<3)<2,1", &[0, 0], true);
    check("((0|1)>0|2)>0,2", &[1, 0, 0], false);
    check("((0&1|2)|3<2)>0,2", &[1, 0, 1, 0], true);
}

#[test]
fn long_and_deep_expressions() {
    let chain = "0&".repeat(4000) + "0";
    check(&chain, &[1], true);
    let alternating = "0&0|".repeat(200) + "0";
    assert_eq!(Logic::of(&expr(&alternating)), None);
    let deep = "(".repeat(200) + "0" + &")".repeat(200);
    assert_eq!(Logic::of(&expr(&deep)), None);
}

#[test]
fn damaged_operations_are_refused() {
    assert_eq!(Logic::read(&[]), None);
    assert_eq!(Logic::read(&[Op::All(2)]), None);
    let sub = Op::Sub { idx: 0, cmp: None };
    assert_eq!(Logic::read(&[sub.clone(), sub]), None);
    assert_eq!(Logic::read(&[Op::All(u32::MAX)]), None);
}
