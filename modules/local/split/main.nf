// One sample's files -> chunk shards in input order, the list of shards, a row for each sequence, warnings.
process SPLIT {
    tag "${meta.id}"
    label 'process_low'

    input:
    tuple val(meta), path(inputs, stageAs: 'input/?/*'), val(ends), val(shard_tokens)
    val chunk_bp
    val rna
    val lengths // min_length and max_length, which may be null, in bp
    val library

    output:
    tuple val(meta), path("${meta.id}.records.tsv"), path("${meta.id}.shards.tsv"), path("${meta.id}.warnings.txt"), path("${meta.id}.split.sha256"), emit: tables
    tuple val(meta), path("${meta.id}.*.chunks.fna", arity: '0..*'), path("${meta.id}.split.sha256"), emit: chunks
    path 'versions.yml', topic: versions

    script:
    def max_length = lengths.max_length == null ? '' : "--max-length ${lengths.max_length}"
    """
    vnp_split.py --sample ${meta.id} --inputs ${inputs} --ends ${ends} \\
        --chunk-length ${chunk_bp} --shard-tokens ${shard_tokens} ${rna ? '--rna' : ''} \\
        --min-length ${lengths.min_length} ${max_length} \\
        --process ${task.process} --library ${library}
    """

    stub:
    """
    printf 'sequence_id\\tname\\tfile\\tlength_bp\\tchunks\\treason\\n' > ${meta.id}.records.tsv
    printf 'shard\\tchunks\\tlength_bp\\n' > ${meta.id}.shards.tsv
    printf '>stub_chunk_1\\nATG\\n' > ${meta.id}.00001.chunks.fna
    touch ${meta.id}.warnings.txt ${meta.id}.split.sha256 versions.yml
    """
}
