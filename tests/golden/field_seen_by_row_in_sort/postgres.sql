SELECT concat('{"text":', to_json(t0."text")::text, ',"remark":', coalesce(to_json(CASE WHEN t0."author_id" = $1::uuid THEN t0."remark" END)::text, 'null'), '}'), (CASE WHEN t0."author_id" = $1::uuid THEN t0."remark" END)::text, (t0."id")::text
FROM "reviews" AS t0
WHERE (t0."hidden" <> $2::boolean
  OR t0."author_id" = $1::uuid)
ORDER BY CASE WHEN t0."author_id" = $1::uuid THEN t0."remark" END, t0."id"
LIMIT $3::bigint
