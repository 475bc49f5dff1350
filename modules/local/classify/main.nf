// Both embeddings of a shard's frames, joined by id -> its score table.
process CLASSIFY {
    tag "${meta.id}"
    label 'process_medium'

    input:
    tuple val(meta), path(faa), path(fna), path(checksums), path(dnabert_s), path(esm2)
    tuple path(classifier), val(classifier_at), val(classifier_sha256) // a file, or where the task finds it
    tuple val(dnabert_s_sha256), val(tokenizer_sha256), val(esm2_sha256)
    val strict // refuse a frame without a vector
    val library

    output:
    tuple val(meta), path("${meta.id}.scores.tsv"), path("${meta.id}.classify.sha256"), emit: scores
    path 'versions.yml', topic: versions

    script:
    """
    vnp_classify.py --shard ${meta.id} --frames ${faa} ${fna} \\
        --dnabert-s ${dnabert_s} --dnabert-s-sha256 ${dnabert_s_sha256} --tokenizer-sha256 ${tokenizer_sha256} \\
        --esm2 ${esm2} --esm2-sha256 ${esm2_sha256} \\
        --classifier ${classifier_at ?: classifier} --classifier-sha256 ${classifier_sha256} ${strict ? '--strict' : ''} \\
        --checksums . --process ${task.process} --library ${library}
    """

    stub:
    """
    printf 'frame_id\\tp_other\\tp_virus\\n' > ${meta.id}.scores.tsv
    touch ${meta.id}.classify.sha256 versions.yml
    """
}
