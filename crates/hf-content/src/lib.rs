//! From database paths to open packs: the cache of compiled content.
//!
//! Every container (`cvd cld cud`) becomes a pack of its own, so that a daily update rebuilds only the
//! daily pack; all loose databases of one set become one pack, so that an object is matched against
//! them in one pass. Packs are kept in a cache directory under the digest of all that they depend on:
//! sources, options, ignore lists, the compiler's own code. A stat stamp says that a source or a pack
//! is still the one that was read, so that a start costs about a millisecond whatever the content's
//! size; a pack without a good stamp is verified whole, and an altered one is built anew.
//!
//! A pack file (`*.pack`) that was compiled elsewhere is opened as it is.
//!
//! Promises: a build that fails or is cut off leaves the old packs; two builders at once do not
//! disturb each other; without a cache directory that is ours alone, packs are built in memory.
//! Leaves out: where the cache directory is (the program's business), and fetching content.
#![forbid(unsafe_code)]

mod cache;
mod compile;
mod detached;
mod directory;
mod error;
mod ignores;
mod prune;
mod publish;
mod read;
mod record;
mod shared;
mod sources;
mod stamp;
mod store;
mod tables;

pub use compile::{COMPILER_VERSION, ContentOptions, compile_in_memory};
pub use detached::{certificates, signature_beside};
pub use directory::is_database;
pub use error::{ContentError, ContentErrorKind};
pub use publish::{CompiledPack, compile_folder};
pub use store::{ContentStore, OpenedContent, OpenedPack, PackOrigin};
pub use tables::patch_tables;
