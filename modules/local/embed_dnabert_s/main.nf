// The DNA frames of a pool -> one HDF5 of DNABERT-S embeddings for each frame file.
process EMBED_DNABERT_S {
    tag "${meta.id}"
    label 'process_gpu'

    input:
    tuple val(meta), path(frames), path(checksums)
    tuple path(encoder), val(encoder_at), val(encoder_sha256) // a file, or where the task finds it
    tuple path(tokenizer), val(tokenizer_at), val(tokenizer_sha256)
    tuple val(device), val(precision), val(engine), val(attention), val(token_budget)
    val library

    output:
    path '*.dnabert_s.h5', arity: '1..*', emit: embeddings
    path 'versions.yml', topic: versions

    script:
    def budget = token_budget ? "--token-budget ${token_budget}" : ''
    """
    vnp_embed_dnabert_s.py --frames ${frames} \\
        --encoder ${encoder_at ?: encoder} --encoder-sha256 ${encoder_sha256} \\
        --tokenizer ${tokenizer_at ?: tokenizer} --tokenizer-sha256 ${tokenizer_sha256} \\
        --device ${device} --precision ${precision} --threads ${task.cpus} \\
        --engine ${engine} --attention ${attention} ${budget} \\
        --checkpoint-dir "\${VIRNUCPRO_CHECKPOINTS:-}" \\
        --checksums . --process ${task.process} --library ${library}
    """

    stub:
    """
    for frames in ${frames}; do touch "\${frames%.frames.fna}.dnabert_s.h5"; done
    touch versions.yml
    """
}
