//! One block for one user: attention over what was bought, then layers.

use std::collections::HashMap;

use crate::dense::{Activation, Linear, Mlp};
use crate::retrieval::trained::factors::dot;

/// What is added to a variance before its root is taken, so that it is not 0.
pub(super) const EPSILON: f32 = 1e-5;

/// Takes the mean from every row, and divides it by its deviation (Ba, Kiros and Hinton, "Layer normalization", 2016).
#[derive(Debug)]
pub(super) struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Norm {
    pub(super) fn new(tensors: &HashMap<String, Vec<f32>>, name: &str) -> Self {
        Self {
            weight: tensors[&format!("{name}.weight")].clone(),
            bias: tensors[&format!("{name}.bias")].clone(),
        }
    }

    /// Every row of `x` into `out`.
    pub(super) fn rows(&self, x: &[f32], out: &mut [f32]) {
        let width = self.weight.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let mean = x.iter().sum::<f32>() / width as f32;
            let variance = x.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / width as f32;
            let scale = 1.0 / (variance + EPSILON).sqrt();
            for ((out, x), (weight, bias)) in out.iter_mut().zip(x).zip(self.weight.iter().zip(&self.bias)) {
                *out = (x - mean) * scale * weight + bias;
            }
        }
    }
}

/// What a block works in.
#[derive(Debug, Default)]
pub(super) struct Working {
    /// What goes in and what comes out, `[rows, width]`.
    pub(super) x: Vec<f32>,
    normed: Vec<f32>,
    /// Queries, keys and values side by side, `[rows, 3 width]`.
    inputs: Vec<f32>,
    /// How much a row looks at each.
    looks: Vec<f32>,
    attended: Vec<f32>,
    spare: Vec<f32>,
}

/// A block of attention and layers.
#[derive(Debug)]
pub(super) struct Block {
    heads: usize,
    before_attention: Norm,
    input: Linear,
    output: Linear,
    before_layers: Norm,
    layers: Mlp,
}

impl Block {
    pub(super) fn new(tensors: &HashMap<String, Vec<f32>>, number: usize, heads: usize) -> Self {
        let name = |layer: &str| format!("block.{number}.{layer}");
        let norm = |layer: &str| Norm::new(tensors, &name(layer));
        let linear = |layer: &str| {
            let of = |part: &str| &tensors[&format!("{}.{part}", name(layer))];
            Linear::new(of("weight"), of("bias"))
        };
        let layers = vec![linear("layers.0"), linear("layers.1")];
        Self {
            heads,
            before_attention: norm("attention.norm"),
            input: linear("attention.input"),
            output: linear("attention.output"),
            before_layers: norm("layers.norm"),
            layers: Mlp::new(layers, Activation::None),
        }
    }

    /// Runs all rows of `working.x`, of which the last `needed` are left there.
    pub(super) fn run(&self, working: &mut Working, needed: usize) {
        let width = self.output.output();
        let rows = working.x.len() / width;
        working.normed.resize(rows * width, 0.0);
        self.before_attention.rows(&working.x, &mut working.normed);
        self.input.batch(rows, &working.normed, &mut working.inputs);
        self.attend(rows, rows - needed, working);
        working.x.drain(..(rows - needed) * width);
        self.output.batch(needed, &working.attended, &mut working.spare);
        add(&mut working.x, &working.spare);
        working.normed.resize(needed * width, 0.0);
        self.before_layers.rows(&working.x, &mut working.normed);
        self.layers.batch(needed, &mut working.normed, &mut working.spare);
        add(&mut working.x, &working.normed);
    }

    /// What each row from `first` on sees of itself and of those before it, `[rows - first, width]`.
    fn attend(&self, rows: usize, first: usize, working: &mut Working) {
        let width = self.output.output();
        let of_head = width / self.heads;
        let scale = 1.0 / (of_head as f32).sqrt();
        working.attended.clear();
        working.attended.resize((rows - first) * width, 0.0);
        for row in first..rows {
            let attended = &mut working.attended[(row - first) * width..][..width];
            for (head, attended) in attended.chunks_exact_mut(of_head).enumerate() {
                // Of one row: a query, a key and a value of every head.
                let part = |row: usize, kind: usize| {
                    &working.inputs[row * 3 * width + kind * width + head * of_head..][..of_head]
                };
                let query = part(row, 0);
                working.looks.clear();
                working
                    .looks
                    .extend((0..=row).map(|other| dot(query, part(other, 1)) * scale));
                softmax(&mut working.looks);
                for (other, look) in working.looks.iter().enumerate() {
                    for (sum, value) in attended.iter_mut().zip(part(other, 2)) {
                        *sum += look * value;
                    }
                }
            }
        }
    }
}

fn add(x: &mut [f32], more: &[f32]) {
    for (x, more) in x.iter_mut().zip(more) {
        *x += more;
    }
}

fn softmax(values: &mut [f32]) {
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - most).exp();
        sum += *value;
    }
    for value in values {
        *value /= sum;
    }
}
