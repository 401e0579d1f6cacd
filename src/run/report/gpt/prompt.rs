//! What a GPT makes of a prompt: the probabilities of the next token and the attention between its tokens.

use crate::plot_style::Fault;
use crate::run::report::drawing::{HeatMap, Scale};
use crate::run::report::markup::{coordinate, escaped, figure, shown};

/// Side length of a matrix in points: that of a small one, that of one weight, and that of the largest one.
const SIDE: f64 = 96.0;
const CELL: f64 = 12.0;
const LARGEST: f64 = 320.0;
/// Maximum number of tokens in the matrices.
const SHOWN_TOKENS: usize = 64;
/// Maximum number of characters of the label of a token.
const LABEL: usize = 4;

/// Probable next token.
#[derive(Debug, Clone, PartialEq)]
pub struct NextToken {
    /// Its text.
    pub text: String,
    /// Its probability at each temperature.
    pub probabilities: Vec<f64>,
}

/// Prompt with what a GPT makes of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PromptView {
    /// Texts of its tokens.
    pub tokens: Vec<String>,
    /// Probability of each token after those before it; `None` for the first.
    pub probabilities: Vec<Option<f64>>,
    /// Temperatures of the next token.
    pub temperatures: Vec<f64>,
    /// Most probable next tokens in their order.
    pub next: Vec<NextToken>,
    /// Attention weights (T, T) of each head of each layer, row by row.
    pub attention: Vec<Vec<Vec<f64>>>,
}

/// Token with its white space visible.
fn visible(token: &str) -> String {
    escaped(&token.replace(' ', "␣").replace('\n', "⏎").replace('\t', "⇥"))
}

impl PromptView {
    /// Probabilities of the tokens of the prompt, and of the next one at each temperature.
    pub(super) fn predictions(&self) -> String {
        let token = |(token, probability): (&String, &Option<f64>)| match probability {
            None => format!("<tr><th scope=\"row\">{}</th><td>given</td></tr>\n", visible(token)),
            Some(probability) => {
                format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", visible(token), shown(*probability, 2))
            }
        };
        let tokens: String = self.tokens.iter().zip(&self.probabilities).map(token).collect();
        let header: String = self
            .temperatures
            .iter()
            .map(|temperature| format!("<th scope=\"col\">{}</th>", shown(*temperature, 2)))
            .collect();
        let row = |next: &NextToken| {
            let cells: String = next
                .probabilities
                .iter()
                .map(|probability| {
                    let width = coordinate(100.0 * probability);
                    format!("<td class=\"bar\"><i style=\"width:{width}%\"></i>{}</td>", shown(*probability, 2))
                })
                .collect();
            format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", visible(&next.text))
        };
        let next: String = self.next.iter().map(row).collect();
        format!(
            "<p>The most probable tokens after the prompt, at several temperatures, and the probability of each token of \
             the prompt after those before it.</p>\n<div class=\"figures\">\n\
             <figure class=\"time next\">\n<table>\n<thead><tr><th scope=\"col\">token</th>{header}</tr></thead>\n\
             <tbody>\n{next}</tbody>\n</table>\n<figcaption>Probability of the next token by temperature.</figcaption>\n\
             </figure>\n<div class=\"card\">\n<table class=\"measured\">\n<caption>Tokens of the prompt</caption>\n\
             <tbody>\n{tokens}</tbody>\n</table>\n</div>\n</div>\n"
        )
    }

    /// Attention matrices of every head.
    ///
    /// # Errors
    /// If a matrix does not have the size of the prompt, or those of the PNG encoder.
    pub(super) fn attention(&self) -> Result<String, Fault> {
        let all = self.tokens.len();
        if self.attention.iter().flatten().any(|head| head.len() != all * all) {
            return Err(format!("weights of attention are not those of {all} tokens").into());
        }
        let size = all.min(SHOWN_TOKENS);
        let label = |token: &String| visible(&token.chars().take(LABEL).collect::<String>());
        let rows: Vec<String> = self.tokens[..size].iter().map(label).collect();
        let part = |head: &Vec<f64>| -> Vec<f64> {
            (0..size).flat_map(|row| head[row * all..][..size].iter().copied()).collect()
        };
        let scale = Scale::positive(self.attention.iter().flatten().flatten().copied()).by_root();
        let side = (CELL * size as f64).clamp(SIDE, LARGEST);
        let cut = if size < all { format!(" The first {size} of {all} tokens are shown.") } else { String::new() };
        let mut html = format!(
            "<p>Each row is a token of the prompt: its columns are its weights for itself and the tokens before it, which \
             add up to 1. Colors show the square root of a weight.{cut}</p>\n"
        );
        for (layer, heads) in self.attention.iter().enumerate() {
            let mut figures = String::new();
            for (head, values) in heads.iter().enumerate() {
                let map = HeatMap {
                    values: &part(values),
                    side,
                    rows: &rows,
                    columns: &rows,
                    scale,
                    chosen: size - 1,
                    label: &format!("Attention weights of layer {}, head {}", layer + 1, head + 1),
                };
                figures += &format!("<div class=\"head\">\n<p><b>Head {}</b></p>\n{}</div>\n", head + 1, map.svg()?);
            }
            let least = coordinate(HeatMap::width(side));
            let heads = format!("<div class=\"heads\" style=\"--least:{least}px;--room:0%\">\n{figures}</div>");
            html += &figure("layer", &heads, &format!("<b>Layer {}</b>", layer + 1));
        }
        Ok(html + &format!("<div>{}</div>\n", scale.legend("weight")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> PromptView {
        let causal: Vec<f64> =
            (0..9).map(|at| if at % 3 <= at / 3 { 1.0 / f64::from(1 + at / 3) } else { 0.0 }).collect();
        PromptView {
            tokens: ["a", " ", "<"].map(String::from).to_vec(),
            probabilities: vec![None, Some(0.5), Some(0.25)],
            temperatures: vec![0.5, 1.0],
            next: vec![NextToken { text: "\n".into(), probabilities: vec![0.75, 0.5] }],
            attention: vec![vec![causal.clone(), causal]; 2],
        }
    }

    #[test]
    fn every_head_and_token_is_shown() {
        let attention = view().attention().unwrap();
        assert_eq!((attention.matches("<image").count(), attention.matches("<figure").count()), (4, 2));
        let predictions = view().predictions();
        for text in ["⏎", "␣", "&lt;", "width:75%", "given"] {
            assert!(predictions.contains(text), "{text}: {predictions}");
        }
        let mut cut = view();
        cut.attention[1][0].pop();
        assert!(cut.attention().is_err());
    }
}
