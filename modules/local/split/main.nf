// One sample's files -> chunk shards in input order, the list of shards, a row for each sequence.
process SPLIT {
    tag "${meta.id}"
    label 'process_low'

    input:
    tuple val(meta), path(inputs, stageAs: 'input/?/*'), val(ends), val(shard_tokens)
    val chunk_bp
    val rna
    val library

    output:
    tuple val(meta), path("${meta.id}.records.tsv"), path("${meta.id}.shards.tsv"), path("${meta.id}.split.sha256"), emit: tables
    tuple val(meta), path("${meta.id}.*.chunks.fna", arity: '0..*'), path("${meta.id}.split.sha256"), emit: chunks
    path 'versions.yml', topic: versions

    script:
    """
    vnp_split.py --sample ${meta.id} --inputs ${inputs} --ends ${ends} \\
        --chunk-length ${chunk_bp} --shard-tokens ${shard_tokens} ${rna ? '--rna' : ''} \\
        --process ${task.process} --library ${library}
    """

    stub:
    """
    printf 'sequence_id\\tname\\tfile\\tlength_bp\\tchunks\\n' > ${meta.id}.records.tsv
    printf 'shard\\tchunks\\tlength_bp\\n' > ${meta.id}.shards.tsv
    printf '>stub_chunk_1\\nATG\\n' > ${meta.id}.00001.chunks.fna
    touch ${meta.id}.split.sha256 versions.yml
    """
}
