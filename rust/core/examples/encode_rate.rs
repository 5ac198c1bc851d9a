//! Measures the tokenizing rate of one thread over a text file, in CPU time and by where the time goes: `cargo run
//! --release --example encode_rate MODEL TEXT`.

use std::path::Path;
use std::time::Instant;

use albert_fast_core::tokens::tokenizer::Tokenizer;

fn main() -> albert_fast_core::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, model, text] = &arguments[..] else {
        eprintln!("usage: encode_rate MODEL TEXT");
        return Ok(());
    };
    let tokenizer = Tokenizer::from_model(Path::new(model), None)?;
    let bytes = std::fs::read_to_string(text).map_err(|e| albert_fast_core::Error::io("cannot read", text, e))?;
    let mut state = tokenizer.state(false);
    let mut ids = Vec::new();
    let mut count = 0;
    let start = Instant::now();
    for line in bytes.split('\n') {
        ids.clear();
        tokenizer.encode(&mut state, line, &mut ids);
        count += ids.len();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{count} ids, {:.1} MB/s", bytes.len() as f64 / 1e6 / seconds);
    Ok(())
}
