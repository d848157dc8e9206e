"""What a stack does otherwise on a GPU, to keep it busy.

`replay` takes the steps of an epoch without Python between them; `fused` is the stack whose small
steps are single kernels, `launches` calls them, `kernels` are they, in Triton. Nothing here is
needed on a CPU, and all of it has the plain path as its oracle.
"""
