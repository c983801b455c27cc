"""The comparison of GraphQL with REST runs, and finds that both answer the same."""

from benchmarks.graphql import measure


async def test_both_ways_answer_the_same_and_are_measured() -> None:
    figures = await measure(1, 3)
    assert set(figures) == {"rest", "graphql", "ratio"}
    assert figures["ratio"] == figures["graphql"] / figures["rest"] > 0
