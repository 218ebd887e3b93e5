"""Parts of the learners for torch and scikit-learn: their arrays, models and data."""
