"""Whether a tuned model is better, and how sure that is."""
