//! Writes the first inputs of the targets that are not about a format: `seed FOLDER`.

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| "corpus".into());
    hf_fuzz::seeds::write(std::path::Path::new(&folder))
}
