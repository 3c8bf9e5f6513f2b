! find . -mindepth 1 \( ! -type d ! -type f -o -type d -empty \) | grep . &&
ssh-keygen -Y verify -f ../allowed_signers -I ops@example.org -n nanoseg-report \
  -s manifest.json.sig < manifest.json &&
grep -A1 '"path": "SHA256SUMS"' manifest.json |
  grep "$(sha256sum < SHA256SUMS | cut -c1-64)" &&
sha256sum -c SHA256SUMS &&
! { cut -c67- SHA256SUMS; find . -type f ! -path ./SHA256SUMS ! -path ./manifest.json \
  ! -path ./manifest.json.sig -print0 | tr '\n\0' '?\n' | cut -c3-; } |
  LC_ALL=C sort | LC_ALL=C uniq -u | grep . &&
echo intact
