// A chunk shard -> the frames to embed as DNA and protein, and a row for each chunk.
process TRANSLATE {
    tag "${meta.id}"
    label 'process_single'

    input:
    tuple val(meta), path(chunks), path(checksums)
    tuple val(frame_rule), val(min_residues)
    val library

    output:
    tuple val(meta), path("${meta.id}.frames.fna"), path("${meta.id}.frames.faa"), path("${meta.id}.translate.sha256"), emit: frames
    tuple val(meta), path("${meta.id}.chunks.tsv"), path("${meta.id}.translate.sha256"), emit: tables
    path 'versions.yml', topic: versions

    script:
    def least = min_residues ? "--min-residues ${min_residues}" : ''
    """
    vnp_translate.py --shard ${meta.id} --chunks ${chunks} --frame-rule ${frame_rule} ${least} \\
        --checksums . --process ${task.process} --library ${library}
    """

    stub:
    """
    printf '>stub_chunk_1F1\\nATG\\n' > ${meta.id}.frames.fna
    printf '>stub_chunk_1F1\\nM\\n' > ${meta.id}.frames.faa
    printf 'chunk_id\\tlength_bp\\tframes\\tpartial_start\\tpartial_end\\n' > ${meta.id}.chunks.tsv
    touch ${meta.id}.translate.sha256 versions.yml
    """
}
