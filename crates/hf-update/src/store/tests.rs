//! Sets on a real disk.

use super::*;
use crate::provenance::Provenance;
use crate::source::Offer;

struct Says(Result<(), &'static str>);

impl Judge for Says {
    fn judge(&self, _: &SealedSet, _: Option<&ActiveSet>) -> Result<Vec<String>, Refusal> {
        self.0.map(|()| Vec::new()).map_err(Refusal::bad)
    }
}

const GOOD: Says = Says(Ok(()));

struct Place {
    dir: tempfile::TempDir,
    store: SetStore,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SetStore::open(dir.path().join("content")).unwrap();
        Self { dir, store }
    }

    fn seal(&self, source: &str, files: &[(&str, &str)]) -> SealedSet {
        let mut draft = self.store.draft().unwrap();
        let offers: Vec<Offer> = files
            .iter()
            .map(|(name, text)| {
                let path = self.dir.path().join(name);
                let _ = fs::remove_file(&path);
                fs::write(&path, text).unwrap();
                Offer { name: (*name).to_owned(), path, provenance: Provenance::default() }
            })
            .collect();
        draft.replace(source, &offers).unwrap();
        self.store.seal(draft).unwrap()
    }

    fn activate(&self, set: &SealedSet, judge: &Says, now: u64) -> Activation {
        self.store.activate(set, judge, now, "test").unwrap()
    }

    fn active(&self) -> ActiveSet {
        SetStore::active(self.store.root()).unwrap().unwrap()
    }
}

#[test]
fn sets_come_into_use_and_go_back() {
    let place = Place::new();
    assert!(SetStore::active(place.store.root()).unwrap().is_none());
    let first = place.seal("a", &[("x.ndb", "1"), ("y.ndb", "2")]);
    assert_eq!(place.activate(&first, &GOOD, 1), Activation::Activated(Vec::new()));
    assert_eq!(place.activate(&first, &GOOD, 1), Activation::Unchanged);
    let second = place.seal("b", &[("x.ndb", "3")]);
    assert_eq!(second.manifest.files.len(), 3);
    assert_eq!(place.activate(&second, &GOOD, 2), Activation::Activated(Vec::new()));
    assert_eq!(place.active().digest, second.digest);
    assert_eq!(place.active().folders().len(), 2);
    assert_eq!(place.store.roll_back("slow", 3).unwrap().digest, first.digest);
    assert_eq!(place.active().digest, first.digest);
    // What was left does not come back by itself, under whatever digest.
    assert!(matches!(place.activate(&second, &GOOD, 4), Activation::Refused(_)));
    assert!(matches!(
        place.store.roll_back("again", 5).unwrap_err().kind,
        StoreErrorKind::NothingBefore
    ));
}

#[test]
fn refused_sets_leave_all_as_it_was() {
    let place = Place::new();
    let first = place.seal("a", &[("x.ndb", "1")]);
    place.activate(&first, &GOOD, 1);
    let second = place.seal("a", &[("x.ndb", "2")]);
    let refused = place.activate(&second, &Says(Err("crashes")), 2);
    assert_eq!(refused, Activation::Refused("crashes".to_owned()));
    assert_eq!(place.active().digest, first.digest);
    // It is not tried again.
    assert!(matches!(place.activate(&second, &GOOD, 3), Activation::Refused(_)));
}

#[test]
fn brakes() {
    let place = Place::new();
    let first = place.seal("a", &[("x.ndb", "1")]);
    place.activate(&first, &GOOD, 1);
    let second = place.seal("a", &[("x.ndb", "2")]);
    place.store.change(|state| state.brakes.hold = Some("holidays".to_owned())).unwrap();
    assert_eq!(place.activate(&second, &GOOD, 2), Activation::Held("holidays".to_owned()));
    let stage = Brakes { stage_percent: Some(0), stage_delay: 100, ..Brakes::default() };
    place.store.change(|state| state.brakes = stage).unwrap();
    assert_eq!(place.activate(&second, &GOOD, 10), Activation::Staged(110));
    assert_eq!(place.activate(&second, &GOOD, 109), Activation::Staged(110));
    assert_eq!(place.activate(&second, &GOOD, 110), Activation::Activated(Vec::new()));
    assert_eq!(place.store.pin(&first.digest[..10], 120).unwrap().digest, first.digest);
    let third = place.seal("a", &[("x.ndb", "3")]);
    assert_eq!(place.activate(&third, &GOOD, 130), Activation::Pinned(first.digest.clone()));
    assert_eq!(place.active().digest, first.digest);
}

#[test]
fn shares_of_machines() {
    let half = StageRule { percent: 50, delay: 1 };
    let early = (0..1000u32).filter(|n| !waits(half, &n.to_le_bytes(), "set")).count();
    assert!((400..600).contains(&early), "{early}");
    assert!(!waits(StageRule { percent: 100, delay: 1 }, b"m", "set"));
    assert!(waits(StageRule { percent: 0, delay: 1 }, b"m", "set"));
}

#[test]
fn damage_is_passed_over() {
    let place = Place::new();
    let first = place.seal("a", &[("x.ndb", "1")]);
    place.activate(&first, &GOOD, 1);
    let second = place.seal("a", &[("x.ndb", "22")]);
    place.activate(&second, &GOOD, 2);
    fs::remove_file(second.dir.join("a/x.ndb")).unwrap();
    fs::write(second.dir.join("a/x.ndb"), "2").unwrap();
    let active = place.active();
    assert_eq!(active.digest, first.digest);
    assert!(active.instead_of.unwrap().contains("damaged"));
    // The same length, other bytes: found by whoever reads them.
    fs::write(second.dir.join("a/x.ndb"), "33").unwrap();
    assert_eq!(place.active().digest, second.digest);
    assert!(verify_set(place.store.root(), &second.digest).is_err());
}

#[test]
fn old_sets_go() {
    let place = Place::new();
    let mut sets = Vec::new();
    for n in 0..6 {
        let set = place.seal("a", &[("x.ndb", &n.to_string())]);
        place.activate(&set, &GOOD, n);
        sets.push(set);
    }
    place.store.prune(3, &[sets[0].digest.as_str()]).unwrap();
    let left: Vec<bool> = sets.iter().map(|set| set.dir.exists()).collect();
    assert_eq!(left, [true, false, false, true, true, true]);
}

#[test]
fn one_at_a_time() {
    let place = Place::new();
    let again = SetStore::open(place.store.root()).unwrap_err();
    assert!(matches!(again.kind, StoreErrorKind::Busy));
}

#[test]
fn names_that_lead_elsewhere() {
    let place = Place::new();
    let mut draft = place.store.draft().unwrap();
    let path = place.dir.path().join("f");
    fs::write(&path, "x").unwrap();
    for (source, name) in
        [("..", "x"), ("a", "../x"), ("a", ""), ("a/b", "x"), ("a", ".x"), ("a", "x y")]
    {
        let offer =
            Offer { name: name.to_owned(), path: path.clone(), provenance: Provenance::default() };
        assert!(draft.replace(source, &[offer]).is_err(), "{source}/{name}");
    }
}
