// The protein frames of a pool -> one HDF5 of ESM-2 embeddings for each frame file.
process EMBED_ESM2 {
    tag "${meta.id}"
    label 'process_gpu'

    input:
    tuple val(meta), path(frames), path(checksums)
    tuple path(encoder), val(encoder_at), val(encoder_sha256) // a file, or where the task finds it
    tuple val(device), val(precision), val(engine), val(attention), val(token_budget)
    val library

    output:
    path '*.esm2.h5', arity: '1..*', emit: embeddings
    path 'versions.yml', topic: versions

    script:
    def budget = token_budget ? "--token-budget ${token_budget}" : ''
    """
    vnp_embed_esm2.py --frames ${frames} \\
        --encoder ${encoder_at ?: encoder} --encoder-sha256 ${encoder_sha256} \\
        --device ${device} --precision ${precision} --threads ${task.cpus} \\
        --engine ${engine} --attention ${attention} ${budget} \\
        --checkpoint-dir "\${VIRNUCPRO_CHECKPOINTS:-}" \\
        --checksums . --process ${task.process} --library ${library}
    """

    stub:
    """
    for frames in ${frames}; do touch "\${frames%.frames.faa}.esm2.h5"; done
    touch versions.yml
    """
}
