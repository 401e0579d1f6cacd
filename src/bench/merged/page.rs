//! Merged rows as an HTML page: machines, bars per shape, rooflines, and a table to sort and filter.
//!
//! The rows are in the page as JSON, from which `page.js` makes bars and table.

use serde_json::{Map, Value, json};

use super::super::roofline;
use super::{Entry, Machine, MergedReport, letter};
use crate::arena::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{Page, escaped, figure};

/// A count with its noun.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

impl MergedReport {
    /// All rows as one HTML page that needs no network: it sorts, filters, and draws bars per shape with ratios to a
    /// baseline that the reader chooses.
    ///
    /// # Errors
    /// [`ErrorKind::NotFinite`] if a number has no JSON representation.
    pub fn page(&self) -> Result<String> {
        let machines = (0..self.machines.len()).map(|at| self.machine(at)).collect::<String>();
        let rooflines = (0..self.machines.len()).map(|at| self.roofline(at)).collect::<String>();
        let rooflines = match rooflines.as_str() {
            "" => String::new(),
            figures => format!(
                "<section id=\"rooflines\"><h2>Rooflines</h2>\n<p>Rates of the rows below the measured limits of each \
                 adapter. A filled circle is a forward pass, a ring forward and backward. Rows above the roof have their \
                 data in caches.</p>\n<div class=\"figures\">\n{figures}</div></section>\n"
            ),
        };
        let notes: String = self.notes.iter().map(|note| format!("<li>{}</li>\n", escaped(note))).collect();
        let notes = if notes.is_empty() { notes } else { format!("<ul class=\"notes\">\n{notes}</ul>\n") };
        let title = format!("Benchmark of {}", counted(self.kernels().len(), "kernel"));
        let files: Vec<String> = self.files.iter().map(|file| escaped(file)).collect();
        let body = format!(
            "<header>\n<p class=\"kind\">ketformer bench report</p>\n<h1>{title} on {}</h1>\n\
             <p class=\"origin\">{} of {}: {}</p>\n{}</header>\n\
             <nav aria-label=\"Parts of the page\"><a href=\"#machines\">Machines</a><a href=\"#shapes\">Shapes</a>{}\
             <a href=\"#rows\">All rows</a></nav>\n<main>\n\
             <section id=\"machines\"><h2>Machines</h2>\n<div class=\"machines\">\n{machines}</div>\n{notes}</section>\n\
             <form id=\"controls\" aria-label=\"Rows to show\"></form>\n\
             <section id=\"shapes\"><h2>Shapes</h2>\n<p>Median times in milliseconds with their quartiles; shorter is \
             better. In parentheses: the time of the baseline divided by this one.</p>\n\
             <noscript><p>Bars and table need JavaScript. <code>bench report</code> writes the same as Markdown or CSV.</p>\
             </noscript>\n<div id=\"bars\" class=\"figures\"></div></section>\n{rooflines}\
             <section id=\"rows\"><h2>All rows</h2>\n<div id=\"table\" class=\"card\"></div></section>\n</main>\n\
             <script type=\"application/json\" id=\"data\">{}</script>\n",
            counted(self.machines.len(), "machine"),
            counted(self.rows.len(), "row"),
            counted(self.files.len(), "file"),
            files.join(", "),
            self.software(),
            if rooflines.is_empty() { "" } else { "<a href=\"#rooflines\">Rooflines</a>" },
            self.data()?,
        );
        let (style, script) = (include_str!("page.css"), include_str!("page.js"));
        Ok(Page { title: &title, style, body: &body, script }.html())
    }

    /// A warning about machines whose adapter is software.
    fn software(&self) -> String {
        let is_software = |at: &usize| self.machines[*at].environment.software;
        let letters: Vec<String> = (0..self.machines.len()).filter(is_software).map(letter).collect();
        match letters.as_slice() {
            [] => String::new(),
            letters => format!(
                "<p class=\"assessment warning\">Software adapter, computes on the CPU: {}. Its times say nothing about a \
                 GPU.</p>\n",
                letters.join(", ")
            ),
        }
    }

    /// Environment of a machine, and its limits.
    fn machine(&self, at: usize) -> String {
        let Machine { environment, dates } = &self.machines[at];
        let Environment { adapter, backend, driver, os, arch, cpu, features, wgpu, .. } = environment;
        let [low, high] = environment.subgroup_sizes;
        let range = |low: String, high: String| if low == high { low } else { format!("{low} to {high}") };
        let rows = self.rows_of(at).count();
        let peaks = self.rows_of(at).filter_map(|row| row.peak_gflops.zip(row.peak_gbytes_per_s));
        let peak = peaks.fold(None, |peak: Option<(f64, f64)>, (flops, bytes)| {
            Some(peak.map_or((flops, bytes), |(most, wide)| (most.max(flops), wide.max(bytes))))
        });
        let limits = peak.map_or_else(String::new, |(flops, bytes)| format!("{flops:.0} GFLOP/s, {bytes:.0} GB/s"));
        let subgroups = if high == 0 { String::new() } else { range(low.to_string(), high.to_string()) };
        let entries = [
            ("backend", backend.clone()),
            ("driver", driver.clone()),
            ("system", [os.as_str(), arch].join(" ").trim().into()),
            ("processor", cpu.clone()),
            ("features", features.clone()),
            ("subgroups", subgroups),
            ("tuned", if environment.tuned { "yes".into() } else { String::new() }),
            ("limits", limits),
            ("version", self.machines[at].version()),
            ("wgpu", wgpu.clone()),
            ("measured", format!("{}: {}", counted(rows, "row"), range(dates[0].clone(), dates[1].clone()))),
        ];
        let entry = |(name, value): &(&str, String)| format!("<dt>{name}</dt><dd>{}</dd>\n", escaped(value));
        let entries: String = entries.iter().filter(|(_, value)| !value.is_empty()).map(entry).collect();
        let warning = if environment.software { " <span class=\"warning\">software</span>" } else { "" };
        format!(
            "<article class=\"card\"><h3><b>{}</b> {}{warning}</h3>\n<dl>\n{entries}</dl></article>\n",
            letter(at),
            escaped(adapter)
        )
    }

    /// Roofline of a machine; empty if no row has a rate.
    fn roofline(&self, at: usize) -> String {
        let adapter = &self.machines[at].environment.adapter;
        let caption = format!("<b>{}</b> {}", letter(at), escaped(adapter));
        let svg = roofline::colored(&self.rows_of(at).collect::<Vec<_>>(), "", &self.kernels());
        svg.map_or_else(|_| String::new(), |svg| figure("chart", &svg, &caption))
    }

    /// Rows with the indices of their machines, as JSON that no text in it can end.
    fn data(&self) -> Result<String> {
        let unwritable = |e| Error::new(ErrorKind::NotFinite, "bench report: a number is not finite").caused_by(e);
        let shared = match serde_json::to_value(Environment::default()).map_err(unwritable)? {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        let row = |Entry { machine, row }: &Entry| {
            let mut value = serde_json::to_value(row).map_err(unwritable)?;
            if let Value::Object(fields) = &mut value {
                fields.retain(|name, _| !shared.contains_key(name));
                fields.insert("machine".into(), json!(machine));
            }
            Ok(value)
        };
        let rows = self.rows.iter().map(row).collect::<Result<Vec<Value>>>()?;
        let name = |(at, machine): (usize, &Machine)| json!([letter(at), machine.environment.adapter]);
        let machines: Vec<Value> = self.machines.iter().enumerate().map(name).collect();
        let data = json!({ "machines": machines, "baseline": self.baseline, "rows": rows });
        Ok(data.to_string().replace('<', "\\u003c"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::merged;
    use super::*;

    #[test]
    fn the_page_has_all_rows_and_no_text_ends_its_data() {
        let page = merged(None).unwrap().page().unwrap();
        let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["rows"].as_array().unwrap().len(), 5);
        assert_eq!(data["rows"][2]["error"], "too <slow> | here");
        assert_eq!((&data["rows"][2]["machine"], &data["rows"][2]["adapter"]), (&json!(1), &Value::Null));
        assert_eq!(data["machines"], json!([["A", "GPU one"], ["B", "GPU two"]]));
        assert!(page.contains("Benchmark of 3 kernels on 2 machines") && page.contains("5 rows of 3 files: a.json"));
        assert_eq!(page.matches("<svg").count(), 2, "a roofline for each machine");
        assert!(!page.contains("Software adapter"));
    }

    #[test]
    fn software_adapters_are_named_at_the_top() {
        let mut merged = merged(None).unwrap();
        merged.machines[1].environment.software = true;
        assert!(merged.page().unwrap().contains("Software adapter, computes on the CPU: B."));
    }
}
