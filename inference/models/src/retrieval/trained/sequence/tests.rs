use candle_core::{Device, Tensor};

use super::*;

const SHAPE: SequenceShape = SequenceShape {
    width: 12,
    heads: 3,
    blocks: 2,
    hidden: 20,
    length: 6,
};
const ITEMS: usize = 9;

/// Weights that are all different.
fn tensors() -> HashMap<String, Vec<f32>> {
    let values = |(number, (name, shape)): (usize, Named)| {
        let count = shape.iter().product();
        let value = |at: usize| ((at * 37 + number * 11) % 101) as f32 / 101.0 - 0.5;
        (name, (0..count).map(value).collect())
    };
    SHAPE.tensors(ITEMS).into_iter().enumerate().map(values).collect()
}

fn bought(items: &[u32]) -> Vec<Bought> {
    let days = (1..=items.len()).rev();
    let bought = |(item, days): (&u32, usize)| Bought {
        item: *item,
        count: 1.0,
        days_since_last: days as f32,
    };
    let mut all: Vec<Bought> = items.iter().zip(days).map(bought).collect();
    all.sort_unstable_by_key(|bought| bought.item);
    all
}

/// The same by the network that trains.
fn trained(items: &[u32]) -> Vec<f32> {
    let device = Device::Cpu;
    let named = SHAPE.tensors(ITEMS).into_iter().map(|(name, shape)| {
        let tensor = Tensor::from_vec(tensors()[&name].clone(), shape, &device).unwrap();
        (name, tensor)
    });
    let network = SequenceNetwork::new(SHAPE, named.collect()).unwrap();
    let latest = &items[items.len().saturating_sub(SHAPE.length)..];
    let before = SHAPE.length - latest.len();
    let mut ids = vec![0u32; before];
    ids.extend(latest);
    let there: Vec<f32> = (0..SHAPE.length)
        .map(|at| if at < before { 0.0 } else { 1.0 })
        .collect();
    let ids = Tensor::from_vec(ids, (1, SHAPE.length), &device).unwrap();
    let there = Tensor::from_vec(there, (1, SHAPE.length), &device).unwrap();
    let places = network.forward(&ids, &there, &mut Ok).unwrap();
    places
        .get(0)
        .unwrap()
        .get(SHAPE.length - 1)
        .unwrap()
        .to_vec1()
        .unwrap()
}

#[track_caller]
fn check_serving(items: &[u32]) {
    let served = Sequence::new(SHAPE, tensors()).place(&bought(items)).unwrap();
    for (served, trained) in served.iter().zip(trained(items)) {
        assert!((served - trained).abs() < 1e-4, "{served} is not {trained}");
    }
}

#[test]
fn serving_gives_what_training_gave() {
    check_serving(&[4]);
    check_serving(&[8, 2, 5]);
    check_serving(&[0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn the_order_counts_and_only_of_the_latest() {
    let model = Sequence::new(SHAPE, tensors());
    let place = |items: &[u32]| model.place(&bought(items));
    assert_ne!(place(&[1, 2]), place(&[2, 1]));
    assert_eq!(place(&[8, 1, 2, 3, 4, 5, 6]), place(&[7, 1, 2, 3, 4, 5, 6]));
    assert_eq!(place(&[]), None);
}

#[test]
fn it_is_read_as_it_was_written_and_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.safetensors");
    let model = Sequence::new(SHAPE, tensors());
    model.save(&path).unwrap();
    let weights = Weights::read(&path).unwrap();
    let read = Sequence::load(&weights, ITEMS, SHAPE).unwrap();
    let bought = bought(&[3, 1]);
    assert_eq!(read.place(&bought), model.place(&bought));
    let refused = |items, shape| Sequence::load(&weights, items, shape).unwrap_err().to_string();
    assert!(refused(8, SHAPE).contains("tensor items is F32 of [9, 12], but F32 of [8, 12]"));
    let uneven = SequenceShape { heads: 5, ..SHAPE };
    assert!(refused(ITEMS, uneven).contains("a multiple of heads"));
}
