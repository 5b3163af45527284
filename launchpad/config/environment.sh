# For a shell, or for the `pre_rocket` line of a queue: `source environment.sh`, then `rlaunch rapidfire`.
# May hold a password, as my_launchpad.yaml.
export FW_CONFIG_FILE=$fw_config_file
export JOBFLOW_CONFIG_FILE=$jobflow_config_file
export CCDCGAN_AL_MONGO_URI=$shell_uri
# the order of a set of strings, and all that follows from it, is the same every time
export PYTHONHASHSEED=0
# a relaxation that finished but could not be recorded (its worker died) is taken from here when its Firework is run again
export CCDCGAN_AL_RELAXED_FOLDER=$relaxed_folder
