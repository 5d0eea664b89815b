"""From votes to preferences: models of votes, consensus, Pareto dominance, stopping."""
