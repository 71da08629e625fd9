"""Where files lie, on disks, in object stores and on the web; credentials, which nothing shows."""
