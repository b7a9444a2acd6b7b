//! The second machine: a store of sets, and a channel that it follows.

use std::fs;
use std::time::SystemTime;

use hf_content::{ContentOptions, ContentStore};
use hf_trust::quorum::Policy;
use hf_update::channel::{Channel, Mirror, Take};
use hf_update::store::SealedSet;
use hf_update::{
    Activation, ActiveSet, Context, FetchOptions, Fetcher, Judge, Note, Outcome, Refusal, SetStore,
    Source as _,
};

use crate::world::World;

/// A machine.
pub(crate) struct Machine {
    dir: tempfile::TempDir,
    pub(crate) channel: Channel,
    pub(crate) now: u64,
    pub(crate) notes: Vec<Note>,
}

/// What an update ended with.
#[derive(Debug)]
pub(crate) enum Said {
    /// A release of this number is in use now.
    New(u64),
    Same,
    Refused(String),
}

impl Said {
    pub(crate) fn is_refused(&self, attack: &str) -> bool {
        match self {
            Self::Refused(text) if text.contains(attack) => true,
            other => panic!("not refused for {attack}: {other:?}"),
        }
    }
}

struct AllGood;

impl Judge for AllGood {
    fn judge(&self, _: &SealedSet, _: Option<&ActiveSet>) -> Result<Vec<String>, Refusal> {
        Ok(Vec::new())
    }
}

impl Machine {
    pub(crate) fn new(world: &World, mirrors: &[&str]) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let channel = Channel {
            name: "main".to_owned(),
            set: "main".to_owned(),
            mirrors: mirrors.iter().map(|mirror| mirror.parse().unwrap()).collect(),
            root: fs::read(world.path("alice/root.json")).unwrap(),
            policy: policy(world),
            take: Take::Packs,
            uses: Vec::new(),
        };
        Self { dir: tempfile::tempdir().unwrap(), channel, now, notes: Vec::new() }
    }

    pub(crate) fn mirrors(&mut self, mirrors: &[&str]) {
        self.channel.mirrors = mirrors.iter().map(|m| m.parse::<Mirror>().unwrap()).collect();
    }

    pub(crate) fn told(&self, text: &str) -> bool {
        self.notes.iter().any(|note| format!("{note:?}").contains(text))
    }

    pub(crate) fn update(&mut self) -> Said {
        self.notes.clear();
        let root = self.dir.path().join("content");
        let store = SetStore::open(&root).unwrap();
        let active = SetStore::active(&root).unwrap();
        let fetcher = Fetcher::new(FetchOptions::default());
        let (staging, memory) = (store.staging("main").unwrap(), store.memory("main").unwrap());
        let current = active.as_ref().map(|active| active.dir.join("main"));
        let files = active.as_ref().map(|active| active.manifest.of_source("main"));
        let notes = &mut self.notes;
        let outcome = self.channel.update(&mut Context {
            fetcher: &fetcher,
            staging: &staging,
            memory: &memory,
            current: current.as_deref(),
            current_files: files.as_deref().unwrap_or_default(),
            now: self.now,
            check_only: false,
            tell: &mut |note| notes.push(note),
        });
        match outcome {
            Err(error) => Said::Refused(error.to_string()),
            Ok(Outcome::New(offers)) => {
                let version = offers[0].provenance.version.clone();
                let mut draft = store.draft().unwrap();
                draft.replace("main", &offers).unwrap();
                let set = store.seal(draft).unwrap();
                let done = store.activate(&set, &AllGood, self.now, "test").unwrap();
                assert!(matches!(done, Activation::Activated(_)), "{done:?}");
                Said::New(version.split(' ').nth(1).unwrap().parse().unwrap())
            }
            Ok(_) => Said::Same,
        }
    }

    /// Returns the names of the files in use.
    pub(crate) fn files(&self) -> Vec<String> {
        let active = SetStore::active(&self.dir.path().join("content")).unwrap().unwrap();
        active.manifest.files.iter().map(|file| file.name.clone()).collect()
    }

    /// Returns the names of the signatures in use that this test knows.
    pub(crate) fn names(&self) -> Vec<String> {
        let active = SetStore::active(&self.dir.path().join("content")).unwrap().unwrap();
        let opened =
            ContentStore::in_memory().open(&active.folders(), &ContentOptions::default()).unwrap();
        let bytes: Vec<u8> =
            opened.packs.iter().flat_map(|opened| opened.pack.as_bytes().to_vec()).collect();
        let known = ["Test.A-1", "Test.B-1", "Test.C-1"];
        let there = |name: &&str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
        known.into_iter().filter(|name| there(name)).map(str::to_owned).collect()
    }
}

/// The owner wants two publishers of three, the log, and one witness of two.
fn policy(world: &World) -> Policy {
    let key = |home: &str, role: &str| -> Vec<String> {
        let text = fs::read_to_string(world.key(home, role)).unwrap();
        text.lines().map(|line| format!("{line:?}")).collect()
    };
    let mut text = "publishers_needed = 2\nwitnesses_needed = 1\nstale_after = \"3d\"\n".to_owned();
    for name in ["alice", "bob", "carol"] {
        let keys = key(name, "publisher").join(", ");
        text.push_str(&format!("[[publisher]]\nname = \"{name}\"\nkeys = [{keys}]\n"));
    }
    text.push_str(&format!("[[log]]\nkey = {}\n", key("log", "log")[0]));
    for name in ["w1", "w2"] {
        text.push_str(&format!(
            "[[witness]]\nname = \"{name}\"\nkey = {}\n",
            key(name, "witness")[0]
        ));
    }
    Policy::parse(&text).unwrap()
}
