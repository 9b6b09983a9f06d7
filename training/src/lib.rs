//! The offline side: features, labels, fitting, evaluation and publishing of recommender models.
