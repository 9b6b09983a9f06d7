"""Other people's recommender packages, asked the questions that Gondola's own models answer."""
