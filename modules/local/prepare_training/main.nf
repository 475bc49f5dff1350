// The chunks of all genomes -> a row for each chunk with label, side of the split and coding frames.
process PREPARE_TRAINING {
    label 'process_medium'

    input:
    stdin // the genomes, a table (virnucpro.training.genomes)
    path files, stageAs: 'chunks/*' // records.tsv and shards.tsv of genomes, chunks.fna and chunks.tsv of shards, *.sha256
    path annotations, stageAs: 'annotations/*'
    tuple val(chunk_bp), val(seed), val(calibrate)
    val library

    output:
    path 'training_chunks.tsv', emit: table
    path 'split.tsv', emit: split
    path 'prepare_training.sha256', emit: checksums
    path 'versions.yml', topic: versions

    script:
    """
    vnp_prepare_training.py --chunks chunks --annotations annotations \\
        --chunk-length ${chunk_bp} --seed ${seed} ${calibrate == 'none' ? '' : '--calibrate'} \\
        --checksums chunks --process ${task.process} --library ${library}
    """

    stub:
    """
    printf 'genome\\tsequence_id\\tchunk_id\\tshard\\tlength_bp\\tstates\\tcoding\\tlabel\\tkind\\tgroup\\tpart\\n' > training_chunks.tsv
    { printf 'genome\\tsplit\\n'; tail -n +2 | awk -F '\\t' -v OFS='\\t' '{print \$1, NR % 2 ? "train" : "test"}'; } > split.tsv
    touch prepare_training.sha256 versions.yml
    """
}
