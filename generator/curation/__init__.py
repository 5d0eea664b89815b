"""From a folder of people to references, with a reason for every file that is not used."""
