//! Runs of a GPT: training, resumption to the bit, kills, sampling, evaluation, and one clear line for bad input.

mod program;

use std::fs;
use std::path::Path;
use std::time::Duration;

use program::{end, program, run, succeeds};
use tempfile::TempDir;

/// A tiny GPT on a text, whose steps 1 to 20 see part of the windows.
const TEXT: &str = "gpt train data=in.txt layers=1 heads=2 width=8 block=8 batch=3 eval_interval=4 --quiet";
/// A tiny GPT that sorts.
const SORT: &str = "gpt train task=sort length=3 layers=1 heads=2 width=8 batch=4 --quiet";

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let text = "the quick brown fox jumps over the lazy dog\n".repeat(40);
    fs::write(folder.path().join("in.txt"), text).unwrap();
    folder
}

/// Rows of the metrics without the seconds.
fn rows(run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
    text.lines().map(|line| line.rsplit_once(',').unwrap().0.to_string()).collect()
}

fn bytes(run: &Path, name: &str) -> Vec<u8> {
    fs::read(run.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_run_has_all_its_files_and_results() {
    let folder = folder();
    let ended = succeeds(folder.path(), &format!("{TEXT} steps=12 --json --tensorboard --out a"));
    let lines: Vec<serde_json::Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [report, .., last] = &lines[..] else { panic!("{}", ended.stdout) };
    assert!(report["tokens_per_second"].as_f64().unwrap() > 0.0 && report["loss"][0].as_f64().unwrap() > 1.0);
    assert!(last["done"] == true && last["validation_loss"][1].as_f64().unwrap() > 0.0, "{last}");
    let run = folder.path().join("a");
    for name in ["best.safetensors", "config.json", "data.json", "loss.svg", "metrics.npy", "model.safetensors"] {
        assert!(!bytes(&run, name).is_empty());
    }
    assert!(run.join("tensorboard").is_dir() && run.join("tokenizer.json").is_file() && !run.join("lock").exists());
    assert!(String::from_utf8(bytes(&run, "loss.svg")).unwrap().contains("held-out data"));
    let rows = rows(&run);
    assert_eq!(rows.len(), 13);
    let validation = |row: &String| row.split(',').nth(3).unwrap() != "NaN";
    assert_eq!(rows[1..].iter().filter(|row| validation(row)).count(), 3);
    // The command of the settings makes the same run.
    let settings: serde_json::Value = serde_json::from_slice(&bytes(&run, "settings.json")).unwrap();
    assert!(settings["gpt"]["width"] == 8 && settings.get("train").is_none(), "{settings}");
    let command = settings["command"].as_str().unwrap().strip_prefix("ketformer ").unwrap();
    succeeds(folder.path(), &format!("{command} --quiet"));
    assert!(bytes(&run, "model.safetensors") == bytes(&folder.path().join("out/1"), "model.safetensors"));
}

#[test]
fn a_run_resumes_to_the_bit_in_the_middle_of_an_epoch() {
    let folder = folder();
    for (name, line) in [("text", TEXT), ("sort", SORT)] {
        let line = format!("{line} dropout=0.1 accumulate=2 schedule=constant warmup=0 eval_interval=4");
        let line = line.replacen(" eval_interval=4 --quiet", " --quiet", 1);
        let (whole, parts) = (format!("{name}-whole"), format!("{name}-parts"));
        succeeds(folder.path(), &format!("{line} steps=15 --out {whole}"));
        succeeds(folder.path(), &format!("{line} steps=7 --out {parts}"));
        succeeds(folder.path(), &format!("gpt train --resume {parts} steps=15 --quiet"));
        let [whole, parts] = [whole, parts].map(|name| folder.path().join(name));
        for file in ["model.safetensors", "best.safetensors", "checkpoint-000000015.safetensors"] {
            assert!(bytes(&whole, file) == bytes(&parts, file), "{name}: {file}");
        }
        assert_eq!(rows(&whole), rows(&parts));
    }
}

#[test]
fn a_killed_run_resumes_to_the_bit() {
    let folder = folder();
    let line = format!("{TEXT} steps=40 checkpoint=3");
    succeeds(folder.path(), &format!("{line} --out whole"));
    let run = folder.path().join("killed");
    // Killed once the metrics show some steps.
    let mut child = program(folder.path(), &format!("{line} report=1 --out killed")).spawn().unwrap();
    let has_rows = || fs::read_to_string(run.join("metrics.csv")).is_ok_and(|text| text.lines().count() > 8);
    while !has_rows() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().ok();
    child.wait().unwrap();
    if !fs::read_to_string(run.join("settings.json")).unwrap().contains("\"ended\"") {
        succeeds(folder.path(), "gpt train --resume killed --quiet");
    }
    assert!(bytes(&run, "model.safetensors") == bytes(&folder.path().join("whole"), "model.safetensors"));
    assert_eq!(rows(&run), rows(&folder.path().join("whole")));
}

#[test]
fn a_seed_has_one_text_whatever_the_number_of_samples() {
    let folder = folder();
    succeeds(folder.path(), &format!("{TEXT} steps=8 --out a"));
    let text = |line: &str| succeeds(folder.path(), &format!("gpt sample a --quiet prompt=the {line}")).stdout;
    let one = text("tokens=24 seed=3");
    assert!(one.starts_with("the") && one.trim_end_matches('\n').chars().count() <= 27);
    let many = text("tokens=24 seed=3 samples=3");
    assert_eq!(many.matches("\n---\n").count(), 2);
    assert!(many.starts_with(&one), "{one:?} {many:?}");
    assert_ne!(one, text("tokens=24 seed=4"));
    assert_eq!(text("tokens=8 greedy=true seed=1"), text("tokens=8 greedy=true seed=2"));
    assert_eq!(text("tokens=8 top_k=1"), text("tokens=8 greedy=true"));
    let object: serde_json::Value = serde_json::from_str(&text("tokens=8 top_p=0.5 temperature=2 --json")).unwrap();
    assert!(object["tokens"] == 8 && object["log_p"].as_f64().unwrap() <= 0.0, "{object}");
}

#[test]
fn evaluation_has_loss_perplexity_bits_and_sorted_words() {
    let folder = folder();
    succeeds(folder.path(), &format!("{TEXT} steps=8 --out a"));
    succeeds(folder.path(), &format!("{SORT} steps=4 --out s"));
    let object = |line: &str| -> serde_json::Value {
        serde_json::from_str(&succeeds(folder.path(), &format!("gpt eval {line} --json --quiet")).stdout).unwrap()
    };
    let text = object("a");
    let number = |name: &str| text[name].as_f64().unwrap();
    let loss = text["loss"][0].as_f64().unwrap();
    assert!((number("perplexity") - loss.exp()).abs() < 1e-9);
    assert!((number("bits_per_character") - loss / std::f64::consts::LN_2).abs() < 1e-9);
    assert_eq!(text["tokens"], 175);
    // Held-out data is the end of the text.
    let all = fs::read_to_string(folder.path().join("in.txt")).unwrap();
    fs::write(folder.path().join("end.txt"), &all[all.len() / 10 * 9..]).unwrap();
    assert_eq!(object("a data=end.txt")["loss"], text["loss"]);
    assert!(object("a weights=best")["loss"][0].as_f64().unwrap() <= loss + 0.1);
    let sorted = object("s samples=30");
    assert!(sorted["sorted"]["words"] == 30 && sorted["sorted"]["right"].as_u64().unwrap() <= 30, "{sorted}");
}

#[test]
fn weights_of_a_run_and_of_a_file_begin_another_run() {
    let folder = folder();
    succeeds(folder.path(), &format!("{TEXT} steps=4 --out a"));
    for (source, name) in [("a", "b"), ("a/model.safetensors", "c")] {
        succeeds(
            folder.path(),
            &format!("gpt train data=in.txt batch=3 steps=1 --quiet --weights {source} --out {name}"),
        );
    }
    // The bits of the tensors, not of the files: c has biases, which are zero in the file.
    let settings = String::from_utf8(bytes(&folder.path().join("c"), "settings.json")).unwrap();
    assert!(settings.contains("\"width\": 8") && settings.contains("\"bias\": true"), "{settings}");
}

/// Fine-tuning of `s`, a tiny GPT that sorts.
const TUNE: &str = "gpt tune s samples=8 schedule=constant checkpoint=3 --quiet";

#[test]
fn a_fine_tuned_run_resumes_to_the_bit_and_is_used_as_any_other() {
    let folder = folder();
    succeeds(folder.path(), &format!("{SORT} steps=20 --out s"));
    let ended = succeeds(folder.path(), &format!("{TUNE} reward=sorted steps=7 --json --tensorboard --out whole"));
    let last: serde_json::Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    let reward = last["reward"][0].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&reward) && last["entropy"].as_f64().unwrap() > 0.0, "{last}");
    succeeds(folder.path(), &format!("{TUNE} reward=sorted steps=4 --out parts"));
    // The weights before tuning are those of the run itself.
    fs::rename(folder.path().join("s"), folder.path().join("moved")).unwrap();
    succeeds(folder.path(), "gpt tune --resume parts steps=7 --quiet");
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    for file in ["model.safetensors", "start.safetensors", "checkpoint-000000007.safetensors"] {
        assert!(bytes(&whole, file) == bytes(&parts, file), "{file}");
    }
    assert_eq!(rows(&whole), rows(&parts));
    let started = bytes(&folder.path().join("moved"), "model.safetensors");
    assert!(bytes(&whole, "start.safetensors") == started && bytes(&whole, "model.safetensors") != started);
    // At the first step the GPT is the starting one: no divergence, up to rounding.
    let cells = |row: &str| row.split(',').map(|cell| cell.parse::<f64>().unwrap()).collect::<Vec<_>>();
    let [first, last] = [1, 7].map(|row| cells(&rows(&whole)[row]));
    assert!(first[10].abs() < 1e-4 && last[10].abs() > 1e-4, "{first:?} {last:?}");
    assert!(!bytes(&whole, "reward.svg").is_empty() && whole.join("tensorboard").is_dir());
    assert!(succeeds(folder.path(), "gpt eval whole samples=20 --quiet").stdout.contains("of 20 held-out words"));
    assert_eq!(succeeds(folder.path(), "gpt sample whole prompt=CAB --quiet").stdout.trim().len(), 6);
    let page = succeeds(folder.path(), "report whole --quiet").stdout;
    assert!(fs::read_to_string(folder.path().join(page.trim())).unwrap().contains("Mean reward."));
    let refused = run(folder.path(), "gpt train --resume whole steps=9");
    assert!(refused.code == Some(2) && refused.stderr.contains("ketformer gpt tune"), "{}", refused.stderr);
    // A tuned GPT can be tuned again.
    succeeds(folder.path(), "gpt tune whole reward=length samples=4 steps=1 --quiet --out again");
}

#[test]
fn a_text_is_tuned_by_a_pattern_and_by_a_program() {
    let folder = folder();
    succeeds(folder.path(), &format!("{TEXT} steps=8 --out a"));
    let metrics = |name: &str| fs::read_to_string(folder.path().join(name).join("metrics.csv")).unwrap();
    for (name, line) in [("windows", "reward=count:e tokens=3"), ("prompt", "reward=length prompt=the")] {
        succeeds(folder.path(), &format!("gpt tune a {line} steps=3 samples=4 --quiet --out {name}"));
        assert_eq!(metrics(name).lines().count(), 4);
    }
    if !cfg!(unix) {
        return;
    }
    // The program counts characters; after 9 lines it ends, in the third step.
    let script = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    script("count.sh", "while IFS= read -r line; do echo ${#line}; done\n");
    script("ends.sh", "for i in 1 2 3 4 5 6 7 8 9; do read -r line; echo 1; done\n");
    script("nan.sh", "while read -r line; do echo NaN; done\n");
    let tune = |name: &str| {
        let mut command = program(folder.path(), "gpt tune a prompt=the tokens=3 steps=3 samples=4 --quiet --out");
        end({
            command.args([name, &format!("reward=command:sh {name}.sh")]);
            command
        })
    };
    let counted = tune("count");
    assert_eq!(counted.code, Some(0), "{}", counted.stderr);
    // Prompt and continuation have 6 characters, and one more for each line end.
    let reward: f64 = metrics("count").lines().nth(1).unwrap().split(',').nth(8).unwrap().parse().unwrap();
    assert!((6.0..=9.0).contains(&reward), "{reward}");
    for (name, words) in [
        (
            "ends",
            ["ended with exit status: 0 after 1 of 4 rewards", "saved after step 2: `ketformer gpt tune --resume"],
        ),
        ("nan", ["wrote \"NaN\", expected a finite number", "saved after step 0"]),
    ] {
        let ended = tune(name);
        let said: Vec<&str> = ended.stderr.lines().filter(|line| !line.contains("computes on the CPU")).collect();
        assert_eq!((ended.code, said.len()), (Some(1), 1), "{}", ended.stderr);
        assert!(words.iter().all(|word| said[0].contains(word)), "{}", said[0]);
    }
    // The corrected program continues.
    script("ends.sh", "while read -r line; do echo 1; done\n");
    succeeds(folder.path(), "gpt tune --resume ends --quiet");
    assert_eq!(metrics("ends").lines().count(), 4);
}

#[test]
fn bad_input_is_one_clear_line() {
    let folder = folder();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    put("empty.txt", b"");
    put("short.txt", b"too short for a window");
    put("latin.txt", b"caf\xe9 au lait");
    put("cut.json", b"{\"model\": [");
    succeeds(folder.path(), &format!("{TEXT} steps=2 --out a"));
    succeeds(folder.path(), &format!("{SORT} steps=2 --out s"));
    put("cut.safetensors", &bytes(&folder.path().join("a"), "model.safetensors")[..500]);
    put("other.txt", b"XYZ");
    for (line, code, words) in [
        ("gpt", 2, ["gpt train"].as_slice()),
        ("gpt trian", 2, &["did you mean train?"]),
        ("gpt train", 2, &["data=input.txt", "task=sort"]),
        ("gpt train data=empty.txt", 1, &["empty.txt is empty"]),
        ("gpt train data=short.txt", 2, &["needs 65", "smaller block", "validation="]),
        ("gpt train data=latin.txt", 1, &["not UTF-8 from byte 3"]),
        ("gpt train data=none.txt", 1, &["none.txt cannot be read"]),
        ("gpt train data=in.txt task=sort", 2, &["keep one"]),
        ("gpt train data=in.txt layrs=3", 2, &["did you mean layers?"]),
        ("gpt train data=in.txt heads=3", 2, &["heads=3 does not divide width=128"]),
        ("gpt train data=in.txt width=10 heads=2", 2, &["width=10", "12"]),
        ("gpt train data=in.txt lr=0", 2, &["above 0"]),
        ("gpt train data=in.txt min_lr=1", 2, &["min_lr=1"]),
        ("gpt train task=sort length=1 letters=2", 2, &["larger length"]),
        ("gpt train task=sort validation=0.2", 2, &["belongs to data="]),
        ("gpt train data=in.txt --weights s", 2, &["character", "vocabulary"]),
        ("gpt train task=sort length=3 letters=4 --weights s", 2, &["3 tokens", "4"]),
        ("gpt train task=sort length=3 width=16 --weights s", 2, &["width=16 contradicts the weights"]),
        ("gpt train data=in.txt --weights cut.json", 1, &["cut.json"]),
        ("gpt train data=in.txt --weights cut.safetensors", 1, &["cut.safetensors"]),
        ("gpt train --resume a", 2, &["has done all its 2 steps"]),
        ("gpt train --resume a width=16 steps=4", 2, &["width=16 would be another run"]),
        ("gpt sample", 2, &["give a run folder"]),
        ("gpt sample a prompt=Z", 2, &["'Z' at position 1", "vocabulary"]),
        ("gpt sample a prompt=the-quick", 2, &["'-'"]),
        ("gpt sample a prompt=thequickbrown", 2, &["13 tokens", "the 8 of the block"]),
        ("gpt sample a temperature=0", 2, &["greedy=true"]),
        ("gpt sample a temperature=-1", 2, &["such as 0.8"]),
        ("gpt sample a temperature=NaN", 2, &["finite"]),
        ("gpt sample a top_p=0", 2, &["such as 0.9"]),
        ("gpt sample a top_k=0", 2, &["at least 1"]),
        ("gpt sample s", 2, &["give a prompt="]),
        ("gpt sample --weights cut.json prompt=A", 1, &["cut.json"]),
        ("gpt sample a --weights cut.json", 2, &["keep one"]),
        ("gpt eval none", 1, &["give the folder of a run"]),
        ("gpt eval a data=other.txt", 2, &["'X' at position 1"]),
        ("gpt tune a", 2, &["nothing to maximize", "count:PATTERN"]),
        ("gpt tune reward=length", 2, &["nothing to tune", "run folder"]),
        ("gpt tune a s reward=length", 2, &["more than one run folder"]),
        ("gpt tune none reward=length", 1, &["give the folder of a run"]),
        ("gpt tune a reward=sort", 2, &["reward sort is unknown", "count:PATTERN"]),
        ("gpt tune a reward=count:", 2, &["nothing after the colon"]),
        ("gpt tune a reward=count:Z", 2, &["'Z' at position 1"]),
        ("gpt tune a reward=sorted", 2, &["task=sort"]),
        ("gpt tune s reward=sorted tokens=2", 2, &["tokens=2", "leave tokens out"]),
        ("gpt tune a reward=length prompt=Z", 2, &["'Z' at position 1"]),
        ("gpt tune a reward=length prompt=the tokens=7", 2, &["3 tokens and tokens=7", "block of 8"]),
        ("gpt tune a reward=length tokens=9", 2, &["tokens=9", "fewer tokens"]),
        ("gpt tune a reward=length beta=-1", 2, &["beta=-1"]),
        ("gpt tune a reward=length samples=1", 2, &["samples=1"]),
        ("gpt tune a reward=length lr=0", 2, &["above 0"]),
        ("gpt tune a reward=length width=8", 2, &["unknown key width"]),
        ("gpt tune --resume a", 2, &["a is a run of `ketformer gpt train`"]),
        ("gpt tune a --resume a", 2, &["leave a out"]),
        ("eval a", 1, &["run of a GPT", "ketformer gpt"]),
        ("report a prompt=Z", 2, &["'Z' at position 1"]),
        ("report a prompt=thequickbrown", 2, &["13 tokens"]),
        ("report a samples=10", 2, &["unknown key samples"]),
    ] {
        let ended = run(folder.path(), line);
        let said = ended.stderr.lines().filter(|line| !line.contains("computes on the CPU")).collect::<Vec<_>>();
        assert_eq!((ended.code, said.len()), (Some(code), 1), "{line}: {}", ended.stderr);
        assert!(words.iter().all(|word| said[0].contains(word)), "{line}: {}", said[0]);
        assert!(ended.stdout.is_empty() && !folder.path().join("out").exists(), "{line}");
    }
    // Data that has changed since the run began.
    put("in.txt", "another text\n".repeat(40).as_bytes());
    let ended = run(folder.path(), "gpt train --resume a steps=4");
    assert!(
        ended.code == Some(1) && ended.stderr.contains("is not the file that the run began with"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_report_shows_losses_texts_attention_and_next_tokens() {
    let folder = folder();
    succeeds(folder.path(), &format!("{TEXT} steps=8 --out a"));
    succeeds(folder.path(), &format!("{SORT} steps=4 eval_interval=2 --out s"));
    for (line, words) in [
        ("report a prompt=the tokens=20 --quiet", ["Perplexity", "nats per token", "Temperature 1.3", "in.txt"]),
        ("report s --quiet", ["Layer 1", "Head 2", "sort length=3 letters=3", "Tokens of the prompt"]),
    ] {
        let ended = succeeds(folder.path(), line);
        let page = fs::read_to_string(folder.path().join(ended.stdout.trim())).unwrap();
        assert!(words.iter().all(|word| page.contains(word)), "{line}");
        assert!(!page.contains("NaN") && page.matches("<image").count() == 2, "{line}");
    }
    // Without its data, a report has the rest.
    fs::remove_file(folder.path().join("in.txt")).unwrap();
    let ended = succeeds(folder.path(), "report a prompt=the --quiet");
    assert!(ended.stderr.contains("without the loss of held-out data"), "{}", ended.stderr);
}

#[test]
fn an_interrupted_run_is_saved() {
    let folder = folder();
    let mut command = program(folder.path(), &format!("{TEXT} steps=1000000 report=1 --out a"));
    command.stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let metrics = folder.path().join("a/metrics.csv");
    while fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 4 {
        assert!(child.try_wait().unwrap().is_none(), "the run has ended");
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-USR1", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("`ketformer gpt train --resume a` resumes from there"), "{said}");
    let eval = end(program(folder.path(), "gpt eval a"));
    assert!(eval.code == Some(0) && eval.stderr.contains("the run was interrupted"), "{}", eval.stderr);
}
