"""Many networks of one shape trained as one batched model, on a CPU or a GPU.

In: members (songs, network, sampler, hyper-parameters) and data. Out: trained weights and scores.

`fitting` cuts members into chunks that fit into memory; a `chunk` trains its members epoch by
epoch; `stack` holds their weights and runs them, `optimisers` moves them, `fresh` makes them;
`devicedata` holds the songs where they are needed, `keeping` writes checkpoints beside the
training; `gpu` is what a GPU needs besides. `hitcore.learning.loop` is the slow reference.
"""
