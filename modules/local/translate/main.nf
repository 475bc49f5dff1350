// A chunk shard -> its open frames as DNA and protein, and a row for each chunk.
process TRANSLATE {
    tag "${meta.id}"
    label 'process_single'

    input:
    tuple val(meta), path(chunks)
    val library

    output:
    tuple val(meta), path("${meta.id}.frames.fna"), path("${meta.id}.frames.faa"), emit: frames
    tuple val(meta), path("${meta.id}.chunks.tsv"), emit: tables
    path 'versions.yml', topic: versions

    script:
    """
    vnp_translate.py --shard ${meta.id} --chunks ${chunks} \\
        --process ${task.process} --library-digest ${library}
    """

    stub:
    """
    printf '>stub_chunk_1F1\\nATG\\n' > ${meta.id}.frames.fna
    printf '>stub_chunk_1F1\\nM\\n' > ${meta.id}.frames.faa
    printf 'chunk_id\\tlength_bp\\tframes\\n' > ${meta.id}.chunks.tsv
    touch versions.yml
    """
}
