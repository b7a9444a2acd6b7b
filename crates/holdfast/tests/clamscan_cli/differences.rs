//! Differences that stay, each with its reason. `docs/compatibility.md` tells users the same.

/// A line as [`crate::cases`] has it, and why it differs.
pub(crate) const KNOWN: &[(&str, &str)] = &[
    ("! -d db/a.ndb -d absent tree", NOT_LOADED),
    ("! -d db/a.ndb -d empty tree", NOT_LOADED),
    ("-dash", NOT_LOADED),
    ("! -d db/a.ndb -d db tree", "a database that is named twice is loaded and counted once"),
    ("--alert-macros --heuristic-scan-precedence=yes kinds/macros.doc", MACROS_LAST),
    ("--heuristic-scan-precedence kinds --alert-macros", MACROS_LAST),
    (
        "--detect-pua --include-pua=Tool --include-pua=Other kinds/unwanted.txt",
        "clamscan matches nothing when two categories are included; ours includes both",
    ),
    ("--dev-ac-depth=1 tree", "it tunes ClamAV's matcher, and ours says that it has no effect"),
    ("--file-list=-", LIST_FROM_INPUT),
    ("-f -", LIST_FROM_INPUT),
    ("-f list-crlf", "an empty line in a list is no file, with either end of line"),
    ("-f tree", "a list that is a directory cannot be read, and that is said"),
    ("--hash-hint=x tree", NEWER),
    ("--log-hash tree", NEWER),
    ("--max-files=1 kinds", SMALL_LIMITS),
    ("--max-recursion=1 kinds", SMALL_LIMITS),
    ("--max-recursion=2 kinds", SMALL_LIMITS),
    ("--max-scansize=1 kinds many.txt", WHOLE_FILE),
    ("--max-scansize=3 kinds many.txt", WHOLE_FILE),
    ("--max-scansize=10 kinds/marked.zip tree", WHOLE_FILE),
    ("--pcre-match-limit=0 kinds", LINEAR),
    ("--pcre-match-limit=1 kinds", LINEAR),
    ("--pcre-recmatch-limit=0 kinds", LINEAR),
    ("--pcre-recmatch-limit=1 kinds", LINEAR),
    ("--tempdir=absent tree", "clamscan finds nothing without its folder; ours needs none"),
    ("-a kinds/macros.doc", "the level of a macro counts its document, which clamscan's does not"),
    ("-v -", "clamscan names the temporary file into which it puts standard input"),
    ("-z kinds/macros.doc", FEWER_TIMES),
    ("-z kinds/page.html", FEWER_TIMES),
    ("-z --detect-pua kinds/unwanted.txt", "told for each copy, as every other name is"),
    ("dangling", DANGLING),
    ("-i --no-summary link dangling tree/empty", DANGLING),
];

const NOT_LOADED: &str = "the summary of a run that failed counts no signatures: none are in use";
const MACROS_LAST: &str = "what is in macros is matched before their presence is told";
const LIST_FROM_INPUT: &str = "a list comes from standard input, as newer versions have it";
const NEWER: &str = "an option of newer versions, which ours knows";
const SMALL_LIMITS: &str = "normalised copies and macros are no files of their own, nor levels";
const WHOLE_FILE: &str = "a file's own bytes are always matched, whatever may be unpacked from it";
const LINEAR: &str = "expressions that run in linear time have no use for a limit on steps";
const FEWER_TIMES: &str = "a name is told once for copies that are the same";
const DANGLING: &str = "a named link to nowhere is an error, not silence";
